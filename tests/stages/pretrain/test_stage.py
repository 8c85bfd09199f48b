"""The stage `pretrain`: it learns, uses every pair once per epoch, and resumes bitwise equal after an interruption."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen import encoders, views
from copgen.data.pairs import GeneratedPairs
from copgen.data.sampler import EpochSampler
from copgen.methods import simclr
from copgen.objectives import info_nce
from copgen.runtime.errors import Diverged, ExitCode, Stopped
from copgen.runtime.seeds import seeded
from copgen.stages.pretrain.stage import estimate, open_data, pretrain
from copgen.storage.files import read_json
from tests.stages.pretraining import ARTEFACT, KINDS, PAIRS, K, as_stage, pretrain_settings
from tests.stages.small import At, assert_same_run, files, interrupted, killed, metrics, newest, send


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [(1,), (3,), (2, 5)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path], kind: str, at: tuple[int, ...]
) -> None:
    settings = pretrain_settings(pretrain_pairs, **KINDS[kind])
    summary = interrupted(as_stage(settings), tmp_path / "run", [settings.batch * update for update in at])
    assert_same_run(tmp_path / "run", straight_pretrain(kind), ARTEFACT)
    assert summary == read_json(straight_pretrain(kind) / "summary.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [2, 5])
def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path], kind: str, at: int
) -> None:
    settings = pretrain_settings(pretrain_pairs, **KINDS[kind])
    killed(as_stage(settings), tmp_path / "run", settings.batch * at)
    assert_same_run(tmp_path / "run", straight_pretrain(kind), ARTEFACT)


def test_a_run_that_is_killed_before_its_artefact_is_written_ends_the_same(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path]
) -> None:
    shutil.copytree(straight_pretrain("sgd"), tmp_path / "run")
    for name in (ARTEFACT, "summary.json"):
        (tmp_path / "run" / name).unlink()
    pretrain(pretrain_settings(pretrain_pairs, **KINDS["sgd"]), out=tmp_path / "run")
    assert_same_run(tmp_path / "run", straight_pretrain("sgd"), ARTEFACT)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_first_update_descends_the_symmetric_loss(pretrain_pairs: Path, tmp_path: Path, optimizer: str) -> None:
    settings = pretrain_settings(pretrain_pairs, updates=2, optimizer=optimizer, lr=0.01, weight_decay=0.1)
    with pytest.raises(Stopped):
        pretrain(settings, out=tmp_path, events=At(K, lambda: send(signal.SIGTERM)))
    after = newest(tmp_path)

    with seeded(0, "pretrain/f"):
        backbone = encoders.build("digits", 1)
        f = torch.nn.Sequential(backbone, encoders.Projector(backbone.feature_dim, 16, 8)).train()
    f = f.to(memory_format=torch.channels_last)  # the same kernels, so that no ReLU falls on the other side
    rows = range(K)
    source = open_data(settings)
    assert isinstance(source, GeneratedPairs)
    items, columns = EpochSampler(PAIRS, 0)[rows], source.columns(rows, 2)
    x, x_pos = (source.batch(items, columns[:, view], torch.device("cpu")) for view in range(2))
    v = views.augment(x, views.policy("mnist"), seed=0, rows=rows, stream="views/anchor")
    v_pos = views.augment(x_pos, views.policy("mnist"), seed=0, rows=rows, stream="views/positive")
    h, h_pos = f(torch.cat((v, v_pos))).chunk(2)
    loss = info_nce(h, h_pos, temperature=0.5, anchors="both")
    names, parameters = zip(*f.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    for place, (name, parameter, gradient) in enumerate(zip(names, parameters, gradients, strict=True)):
        state = after["optimizer"]["state"][place]
        slope = state["momentum_buffer"] if optimizer == "sgd" else 10.0 * state["exp_avg"]
        expected = (gradient + 0.1 * parameter).detach()
        largest = float(expected.abs().max())
        torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-4 * largest, check_stride=False)
        step = slope if optimizer == "sgd" else slope / (slope.abs() + 1e-8)
        torch.testing.assert_close(after["encoder"][name], parameter - 0.01 * step, rtol=1e-5, atol=1e-6, msg=name)
    assert metrics(tmp_path)[0]["loss"] == pytest.approx(loss.item(), abs=1e-5)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.2), ("adam", 3e-3)])
def test_it_learns(pretrain_pairs: Path, tmp_path: Path, optimizer: str, lr: float) -> None:
    settings = pretrain_settings(pretrain_pairs, updates=40, optimizer=optimizer, lr=lr, temperature=0.1)
    summary = pretrain(settings, out=tmp_path)
    losses = [line["loss"] for line in metrics(tmp_path)]
    assert summary["chance"] == pytest.approx(math.log(2 * K - 1), rel=1e-12)
    assert sum(losses[-10:]) / 10 < min(summary["chance"], losses[0]) - 0.4


def test_the_summary_and_the_encoder_say_what_was_done(
    pretrain_pairs: Path, straight_pretrain: Callable[[str], Path]
) -> None:
    run = straight_pretrain("adam")
    summary, losses = read_json(run / "summary.json"), [line["loss"] for line in metrics(run)]
    assert summary == {
        "updates": 8,
        "samples": 8 * K,
        "pairs": PAIRS,
        "loss": pytest.approx(sum(losses) / 8),
        "chance": math.log(2 * K - 1),
    }
    f = encoders.load(run)
    assert f.config.model_dump() == {
        "arch": "digits",
        "in_channels": 1,
        "image_size": 8,
        "views": "mnist",
        "stem": None,
    }
    assert f.made_by["settings"] == pretrain_settings(pretrain_pairs, **KINDS["adam"]).tree()
    assert f.made_by["summary"] == summary
    trained = newest(run)["encoder"]
    for name, tensor in f.backbone.state_dict().items():
        assert torch.equal(tensor, trained[f"0.{name}"])


def test_every_update_is_logged(straight_pretrain: Callable[[str], Path]) -> None:
    lines = metrics(straight_pretrain("sgd"))
    assert [(line["update"], line["samples"]) for line in lines] == [(u, K * u) for u in range(1, 9)]
    assert all(set(line) == {"update", "samples", "loss", "chance", "lr"} for line in lines)


@pytest.mark.parametrize(
    ("changes", "updates"),
    [
        ({"updates": 7, "epochs": None}, 7),
        ({"updates": None, "epochs": 1}, 5),
        ({"updates": None, "epochs": 2.5}, 12),
        ({"updates": None, "epochs": 1, "batch": 24}, 3),
        ({"updates": None, "epochs": 0.001}, 1),
    ],
)
def test_epochs_are_counted_in_whole_batches(pretrain_pairs: Path, changes: dict[str, Any], updates: int) -> None:
    assert pretrain_settings(pretrain_pairs, **changes).updates_over(PAIRS) == updates


# What goes wrong


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_updated_with_it(
    pretrain_pairs: Path,
    tmp_path: Path,
    straight_pretrain: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    value: float,
) -> None:
    settings = pretrain_settings(pretrain_pairs, **KINDS[kind])
    with pytest.raises(Stopped):
        pretrain(settings, out=tmp_path, events=At(4 * K, lambda: send(signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")

    def poisoned(h: Tensor, h_pos: Tensor, **settings: Any) -> Tensor:
        return info_nce(h, h_pos, **settings) * value

    with monkeypatch.context() as patch:
        patch.setattr(simclr, "info_nce", poisoned)
        with pytest.raises(Diverged, match=r"loss is (nan|inf) at update 5") as caught:
            pretrain(settings, out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED
    assert files(tmp_path / "checkpoints") == before
    pretrain(settings, out=tmp_path)
    assert_same_run(tmp_path, straight_pretrain(kind), ARTEFACT)


@pytest.mark.parametrize("updates", [1, 3, 40])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(
    pretrain_pairs: Path, tmp_path: Path, temporary: Path, updates_per_read: set[int], updates: int
) -> None:
    settings = pretrain_settings(pretrain_pairs, updates=updates)
    found = estimate(settings)
    assert updates_per_read == {1}
    assert list(temporary.iterdir()) == []
    assert all(0 < value < math.inf for value in found.values())
    pretrain(settings, out=tmp_path / "run")
    true = sum(map(len, files(tmp_path / "run").values()))
    assert found["disk_bytes"] == pytest.approx(true, rel=0.1)
