"""How often metrics are read from the device does not change what is written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from copgen import views
from copgen.distributed.ranks import Ranks
from copgen.objectives import info_nce
from copgen.runtime.errors import Diverged, EnvironmentFault, ExitCode
from copgen.stages.navigate import players as game
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.stage import navigate, one_update
from copgen.storage.files import read_json
from copgen.training.out_of_memory import largest_batch
from tests.stages.navigating import ARTEFACT, KINDS, of_kind
from tests.stages.painter import Painter, painter_settings
from tests.stages.small import files, metrics, navigate_settings


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operation that would synchronise with the device."""

    WAITING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.noted: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.WAITING:
            self.noted.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
@pytest.mark.parametrize("stop", [{}, {"stop": "delta", "delta": 0.5}])
def test_an_update_reads_nothing_from_the_device(rule: str, stop: dict[str, Any]) -> None:
    settings = painter_settings(update=rule, **stop)
    G, T_x = Painter(), views.policy("mnist")
    play = Game(settings, G, torch.device("cpu"))
    with Reads() as reads:
        figures = one_update(settings, G, T_x, play, range(8), ranks=Ranks())
    assert reads.noted == []
    with Reads() as reads:
        float(figures["loss_encoder"])
    assert len(reads.noted) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [4, 1000])
def test_a_run_that_reads_seldom_writes_the_same(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path], kind: str, every: int
) -> None:
    settings = of_kind(flow, kind).model_copy(update={"read_every": every})
    summary = navigate(settings, out=tmp_path)
    assert summary == read_json(navigated(kind) / "summary.json")
    assert metrics(tmp_path) == metrics(navigated(kind))
    for name in ("previews", "snapshots"):
        assert files(tmp_path / name).keys() == files(navigated(kind) / name).keys()
    found, expected = (
        torch.tensor(list((folder / ARTEFACT).read_bytes()[-4096:])) for folder in (tmp_path, navigated(kind))
    )
    assert torch.equal(found, expected)  # the weights; the header holds the settings, which differ


@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
def test_what_comes_after_a_loss_that_is_not_finite_changes_no_weight(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    count = iter(range(100))
    kept: list[Game] = []
    bad = {"simultaneous": 2, "alternating": 4}[rule]
    weights: list[dict[str, Tensor]] = []

    def poisoned(h: Tensor, h_pos: Tensor, **settings: Any) -> Tensor:
        loss = info_nce(h, h_pos, **settings)
        if next(count) != bad:
            return loss
        weights.append({name: value.clone() for name, value in kept[0].T_z.state_dict().items()})
        weights.append({name: value.detach().clone() for name, value in kept[0].f.named_parameters()})
        return loss * math.nan

    class Kept(Game):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            kept.append(self)

    monkeypatch.setattr(game, "info_nce", poisoned)
    monkeypatch.setattr("copgen.stages.navigate.stage.Game", Kept)
    with pytest.raises(Diverged, match="loss_encoder is nan at update 3"):
        navigate(navigate_settings(flow, update=rule, read_every=100, checkpoint_every=100), out=tmp_path)
    assert next(count) > bad + 3  # others came after it
    for name, value in kept[0].T_z.state_dict().items():
        assert torch.equal(value, weights[0][name]), name
    for name, parameter in kept[0].f.named_parameters():
        assert torch.equal(parameter, weights[1][name]), name
    assert metrics(tmp_path)[-1]["update"] == 2


# Memory


def test_out_of_memory_names_the_largest_batch_that_fits(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Game.play

    def crowded(self: Game, v: Tensor, *arguments: Any, **settings: Any) -> Any:
        if len(v) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(self, v, *arguments, **settings)

    monkeypatch.setattr(Game, "play", crowded)
    with pytest.raises(EnvironmentFault, match=r"cpu .* batch of 128\.") as caught:
        navigate(navigate_settings(flow, batch=128, samples=256), out=tmp_path)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert re.match(r"Lower --batch to about [1-9][0-9,]*, or ", caught.value.fix)


@pytest.mark.parametrize(
    ("free", "step", "fits"),
    [(1000, 1, 90), (1000, 8, 88), (1000, 20, 80), (100, 1, 4), (40, 1, 0)],
)
def test_the_largest_batch_follows_from_two_small_ones(free: int, step: int, fits: int) -> None:
    # 50 bytes of weights, 10 a row: (0.95 free - 50) / 10.
    assert largest_batch(lambda rows: 50 + 10 * rows, free=free, step=step) == fits


def test_the_largest_batch_is_zero_if_none_fits_or_memory_is_unknown() -> None:
    def full(rows: int) -> int:
        raise torch.OutOfMemoryError

    assert largest_batch(full, free=1000, step=1) == 0
    assert largest_batch(lambda _: None, free=1000, step=1) == 0
    assert largest_batch(lambda rows: rows, free=None, step=1) == 0
