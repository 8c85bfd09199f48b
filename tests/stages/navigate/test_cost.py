"""What an update of navigate computes, and what it does not: counted, not timed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from copgen import generators, views
from copgen.distributed.ranks import Ranks
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import one_update
from tests.generators import narrow
from tests.stages.painter import Painter, painter_settings

aten: Any = torch.ops.aten
CPU = torch.device("cpu")


class Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts convolutions forward, and backward by what they differentiate."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.convolution.default:
            self.counts["forward"] += 1
        if func is aten.convolution_backward.default:
            of_input, of_weight, _ = args[-1]
            self.counts["backward"] += 1
            self.counts["of weights"] += of_weight
            self.counts["of inputs"] += of_input
        return func(*args, **(kwargs or {}))


def counted(settings: NavigateSettings, G: generators.Generator, policy: str) -> Counter[str]:
    game = Game(settings, G, CPU)
    convolutions = Convolutions()
    with convolutions:
        one_update(settings, G, views.policy(policy), game, range(settings.batch), ranks=Ranks())
    return convolutions.counts


def convolutions_in(module: torch.nn.Module) -> int:
    return sum(isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d) for layer in module.modules())


@pytest.mark.parametrize("objective", ["info_nce", "sup_con"])
def test_simultaneous_passes_f_once_and_alternating_twice(objective: str) -> None:
    G = Painter()  # has no convolution, so that all are f's
    n = convolutions_in(Game(painter_settings(), G, CPU).f)
    once = counted(painter_settings(update="simultaneous", objective=objective), G, "mnist")
    assert once == {"forward": n, "backward": n, "of weights": n, "of inputs": n}
    twice = counted(painter_settings(update="alternating", objective=objective), G, "mnist")
    # T_z's pass asks for no weight of f, and f's own asks for no view.
    assert twice == {"forward": 2 * n, "backward": 2 * n, "of weights": n, "of inputs": 2 * n - 1}


@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_generator_is_differentiated_once_and_never_for_its_weights(
    tmp_path: Path, rule: str, checkpointing: bool
) -> None:
    weights = narrow.published("bigbigan", tmp_path)
    settings = painter_settings(
        update=rule, precision="float32", views="simclr", batch=2, activation_checkpointing=checkpointing
    )
    G = generators.load("bigbigan", weights=weights)
    f = convolutions_in(Game(settings, G, CPU).f)
    passes = 1 if rule == "simultaneous" else 2
    found = counted(settings, G, "simclr")
    blocks = convolutions_in(torch.nn.ModuleList(generators.load("bigbigan", weights=weights).segments()))
    of_G = convolutions_in(G)
    assert found["of weights"] == f  # f's alone
    assert found["backward"] == passes * f + of_G
    again = found["forward"] - passes * f - 2 * of_G
    assert again == 0 if not checkpointing else 0 < again <= blocks


def test_saving_memory_changes_no_gradient(tmp_path: Path) -> None:
    weights = narrow.published("bigbigan", tmp_path)
    found = []
    for checkpointing in (False, True):
        settings = painter_settings(
            precision="float32", views="simclr", batch=2, activation_checkpointing=checkpointing
        )
        G = generators.load("bigbigan", weights=weights)
        game = Game(settings, G, CPU)
        one_update(settings, G, views.policy("simclr"), game, range(2), ranks=Ranks())
        found.append({name: value.clone() for name, value in game.T_z.state_dict().items()})
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_another_game_on_a_generator_saves_memory_once(tmp_path: Path) -> None:
    G = generators.load("bigbigan", weights=narrow.published("bigbigan", tmp_path))
    settings = painter_settings(precision="float32", views="simclr", batch=2, activation_checkpointing=True)
    Game(settings, G, CPU)
    once = [segment.forward for segment in G.segments()]
    Game(settings, G, CPU)
    assert [segment.forward for segment in G.segments()] == once


def test_bf16_computes_the_loss_and_the_distance_in_float32() -> None:
    settings = painter_settings(precision="bfloat16")
    G = Painter(torch.float32)
    game = Game(settings, G, CPU)
    seen: list[torch.dtype] = []
    game.f.register_forward_hook(lambda _, __, h: seen.append(h.dtype))
    figures = one_update(settings, G, views.policy("mnist"), game, range(8), ranks=Ranks())
    assert seen == [torch.bfloat16]
    assert figures["loss_encoder"].dtype == torch.float32
    exact = painter_settings(precision="float64")
    reference = one_update(
        exact, Painter(), views.policy("mnist"), Game(exact, Painter(), CPU), range(8), ranks=Ranks()
    )
    assert float(figures["d_mean"]) == pytest.approx(float(reference["d_mean"]), rel=1e-5)
    assert float(figures["loss_encoder"]) == pytest.approx(float(reference["loss_encoder"]), rel=0.1)
    assert all(parameter.dtype == torch.float32 for parameter in game.f.parameters())
