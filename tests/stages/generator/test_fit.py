"""The stage `generator fit`: it learns, and resumes bitwise equal after an interruption."""

from __future__ import annotations

import math
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import generators
from copgen.generators.residual_flow import ResidualFlow
from copgen.runtime.errors import Diverged, ExitCode, Stopped, UsageError
from copgen.runtime.events import Events
from copgen.stages.generator import fit as stage
from copgen.stages.generator import likelihood
from copgen.stages.generator.fit import dequantise, estimate, fit_flow
from copgen.stages.generator.fit_settings import FitFlowSettings
from copgen.storage.files import read_json
from tests.stages.small import FLOW, At, Stage, assert_same_run, files, interrupted, killed, metrics, newest, send

B = 8
ARTEFACT = "generator.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _quick_figures() -> Any:
    """The final metrics are tested separately, as they take half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "assess_digits", lambda G: {"latent": float(G.latent_dim)})
        yield


def fit_settings(**changes: object) -> FitFlowSettings:
    fields = {"flow": FLOW, "updates": 7, "batch": B, "warmup": 2, "checkpoint_every": 3, "device": "cpu"}
    return FitFlowSettings.model_validate({**fields, **changes})


def as_stage(settings: FitFlowSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return fit_flow(settings, out=out, events=events)

    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run; nobody writes into it."""
    out = tmp_path_factory.mktemp("fit") / "run"
    fit_flow(fit_settings(), out=out)
    return out


@pytest.mark.parametrize("at", [(1,), (3,), (2, 5)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    tmp_path: Path, straight: Path, at: tuple[int, ...]
) -> None:
    summary = interrupted(as_stage(fit_settings()), tmp_path / "run", [B * update for update in at])
    assert_same_run(tmp_path / "run", straight, ARTEFACT)
    assert summary == read_json(straight / "summary.json")


@pytest.mark.parametrize("at", [2, 5])
def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path: Path, straight: Path, at: int) -> None:
    killed(as_stage(fit_settings()), tmp_path / "run", B * at)
    assert_same_run(tmp_path / "run", straight, ARTEFACT)


def test_a_run_that_is_killed_before_its_artefact_is_written_ends_the_same(tmp_path: Path, straight: Path) -> None:
    shutil.copytree(straight, tmp_path / "run")
    for name in (ARTEFACT, "summary.json"):
        (tmp_path / "run" / name).unlink()
    fit_flow(fit_settings(), out=tmp_path / "run")
    assert_same_run(tmp_path / "run", straight, ARTEFACT)


def test_it_learns(tmp_path: Path, straight: Path) -> None:
    fit_flow(fit_settings(updates=60, batch=32, lr=5e-2, ema=0.0), out=tmp_path)
    bits = [line["bits_per_dim"] for line in metrics(tmp_path)]
    assert sum(bits[-5:]) / 5 < sum(bits[:5]) / 5 - 0.1
    barely, better = (read_json(folder / "summary.json")["bits_per_dim"] for folder in (straight, tmp_path))
    assert better["validation"] < barely["validation"] - 0.2
    assert better["test"] < barely["test"] - 0.2


def test_the_file_is_a_generator_that_says_what_made_it(straight: Path) -> None:
    G = generators.load("digits", weights=straight / ARTEFACT)
    assert (G.latent_dim, G.image_size, G.channels) == (64, 8, 1)
    assert dict(G.made_by) == read_json(straight / "summary.json")
    assert G.made_by["settings"] == fit_settings().tree()
    assert G.made_by["quality"] == {"latent": 64.0}
    assert set(G.made_by["bits_per_dim"]) == {"validation", "test"}
    assert G.made_by["command"] == "copgen generator fit digits"
    images = G(G.sample_prior(range(4), 0))
    assert images.shape == (4, 1, 8, 8)
    assert bool(images.isfinite().all())


def test_every_update_is_logged(straight: Path) -> None:
    lines = metrics(straight)
    assert [(line["update"], line["samples"]) for line in lines] == [(u, B * u) for u in range(1, 8)]
    assert all(set(line) == {"update", "samples", "bits_per_dim", "lr"} for line in lines)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_updated_with_it(
    tmp_path: Path, straight: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    with pytest.raises(Stopped):
        fit_flow(fit_settings(), out=tmp_path, events=At(4 * B, lambda: send(signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")
    real = likelihood.mean_bits
    with monkeypatch.context() as patch:
        patch.setattr(likelihood, "mean_bits", lambda *arguments, **more: real(*arguments, **more) * value)
        with pytest.raises(Diverged, match=r"bits_per_dim is (nan|inf) at update 5") as caught:
            fit_flow(fit_settings(), out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED
    assert "temperature" not in caught.value.fix  # a flow has none
    assert files(tmp_path / "checkpoints") == before
    fit_flow(fit_settings(), out=tmp_path)
    assert_same_run(tmp_path, straight, ARTEFACT)


def test_a_finished_run_returns_its_summary_and_computes_nothing(
    tmp_path: Path, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(straight, tmp_path / "run")
    before = files(tmp_path / "run")
    monkeypatch.setattr(likelihood, "mean_bits", None)
    assert fit_flow(fit_settings(), out=tmp_path / "run") == read_json(straight / "summary.json")
    assert files(tmp_path / "run") == before


def test_changed_settings_are_refused_with_the_difference(tmp_path: Path, straight: Path) -> None:
    shutil.copytree(straight, tmp_path / "run")
    wider = FLOW.model_copy(update={"linear_width": 32})
    with pytest.raises(UsageError, match=r"flow\.linear_width: 16 -> 32; seed: 0 -> 1"):
        fit_flow(fit_settings(flow=wider, seed=1), out=tmp_path / "run")


def test_overwrite_starts_from_scratch(tmp_path: Path, straight: Path) -> None:
    fit_flow(fit_settings(seed=1, updates=9), out=tmp_path)
    fit_flow(fit_settings(), out=tmp_path, overwrite=True)
    assert_same_run(tmp_path, straight, ARTEFACT)


def test_dequantised_pixels_stay_in_their_bins() -> None:
    levels = torch.arange(17.0).repeat(20, 1).view(20, 1, 1, 17)
    x = dequantise(levels, seed=0, rows=range(20))
    assert torch.equal((17 * x).floor(), levels)
    assert 0 < x.min() < x.max() < 1
    within = 17 * x - levels
    assert float(within.mean()) == pytest.approx(0.5, abs=0.06)
    assert torch.equal(dequantise(levels[5:9], seed=0, rows=range(5, 9)), x[5:9])


def test_the_weights_that_are_kept_are_the_averaged_ones(straight: Path) -> None:
    state = newest(straight)
    kept = generators.load("digits", weights=straight / ARTEFACT).state_dict()
    names = [name for name in state["flow"] if name.endswith("weight")]
    assert names
    assert all(torch.equal(kept[f"flow.{name}"], state["averaged"][name]) for name in names)
    assert not any(torch.equal(kept[f"flow.{name}"], state["flow"][name]) for name in names)


@pytest.mark.parametrize("updates", [1, 1000])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(
    temporary: Path, updates_per_read: set[int], updates: int
) -> None:
    found = estimate(fit_settings(updates=updates))
    assert updates_per_read == {1}
    assert list(temporary.iterdir()) == []
    assert all(0 < value < math.inf for value in found.values())


def test_the_random_numbers_of_an_image_do_not_depend_on_its_batch() -> None:
    settings = fit_settings()
    flow = ResidualFlow(FLOW)
    whole, length = likelihood.draw_series(flow, settings, 3, range(16))
    part, again = likelihood.draw_series(flow, settings, 3, range(4, 8))
    assert torch.equal(whole[4:8], part)
    assert length == again
    assert bool((whole.abs() == 1.0).all())
    lengths = {likelihood.draw_series(flow, settings, update, range(2))[1] for update in range(20)}
    assert len(lengths) > 1
