"""The stage `generator fit` of a Residual Flow: it learns, resumes bitwise equal, and its file is a generator."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen import generators
from copgen.generators.residual_flow.config import FlowNetwork
from copgen.runtime.errors import DataError, Diverged, ExitCode, Stopped, UsageError
from copgen.runtime.events import Events
from copgen.stages.generator import likelihood
from copgen.stages.generator.residual_flow import FitResidualFlowSettings, fit_residual_flow
from copgen.stages.generator.residual_flow import stage as stage_module
from copgen.stages.generator.residual_flow.stage import estimate, held_out_pixels
from copgen.storage.files import read_json
from tests.stages.small import At, Stage, assert_same_run, files, interrupted, killed, metrics, newest, send

B = 8
ARTEFACT = "generator.safetensors"
NETWORK = FlowNetwork(blocks=(1, 1), width=3, linear_blocks=1, linear_width=8, coeff=0.9, logit_alpha=0.05)


@pytest.fixture(scope="module", autouse=True)
def _quick_conclusion() -> Any:
    """Quality and bits/dim have tests of their own; here, few terms and batches do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "EXACT_TERMS", 6)
        patch.setattr(likelihood, "BATCHES", 4)
        patch.setattr(stage_module, "assess", lambda G, settings, images: {"quality": {"latent": float(G.latent_dim)}})
        yield


def fit_settings(**changes: object) -> FitResidualFlowSettings:
    fields = {
        "dataset": "digits",
        "network": NETWORK,
        "updates": 7,
        "batch": B,
        "warmup": 2,
        "checkpoint_every": 3,
        "preview_every": 32,
        "device": "cpu",
    }
    return FitResidualFlowSettings.model_validate({**fields, **changes})


def as_stage(settings: FitResidualFlowSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return fit_residual_flow(settings, out=out, events=events)

    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run; nobody writes into it."""
    out = tmp_path_factory.mktemp("flow") / "run"
    fit_residual_flow(fit_settings(), out=out)
    return out


@pytest.mark.parametrize("at", [(1,), (2, 5)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    tmp_path: Path, straight: Path, at: tuple[int, ...]
) -> None:
    summary = interrupted(as_stage(fit_settings()), tmp_path / "run", [B * update for update in at])
    assert_same_run(tmp_path / "run", straight, ARTEFACT)
    assert summary == read_json(straight / "summary.json")


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path: Path, straight: Path) -> None:
    killed(as_stage(fit_settings()), tmp_path / "run", B * 5)
    assert_same_run(tmp_path / "run", straight, ARTEFACT)


def test_every_update_is_logged_and_the_validation_bits_with_the_previews(straight: Path) -> None:
    lines = metrics(straight)
    assert [(line["update"], line["samples"]) for line in lines] == [(u, B * u) for u in range(1, 8)]
    names = {"update", "samples", "bits_per_dim", "lr"}
    assert all(set(line) - {"validation_bits_per_dim"} == names for line in lines)
    assert [line["update"] for line in lines if "validation_bits_per_dim" in line] == [4]
    assert sorted(path.name for path in (straight / "previews").iterdir()) == ["000000024.png", "final.png"]


def test_the_watched_images_are_of_all_classes_also_where_files_are_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder with class folders; here the grey level of an image is its class."""
    held_out = torch.arange(8, dtype=torch.uint8).repeat_interleave(10).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    seen: list[torch.Tensor] = []
    estimated_bits = likelihood.estimated_bits

    def recorded(flow: Any, pixels: torch.Tensor, **how: Any) -> Any:
        seen.append(pixels)
        return estimated_bits(flow, pixels, **how)

    monkeypatch.setattr(stage_module, "held_out_pixels", lambda settings: {"validation": held_out})
    monkeypatch.setattr(stage_module, "WATCHED", 40)
    monkeypatch.setattr(likelihood, "estimated_bits", recorded)
    fit_residual_flow(fit_settings(), out=tmp_path)
    watched, final = (pixels[:, 0, 0, 0].tolist() for pixels in seen)
    assert (len(watched), set(watched)) == (40, set(range(8)))
    assert len(final) == 80


def test_it_learns(tmp_path: Path, straight: Path) -> None:
    fit_residual_flow(fit_settings(updates=30, batch=32, lr=5e-2, ema=0.0), out=tmp_path)
    bits = [line["bits_per_dim"] for line in metrics(tmp_path)]
    assert sum(bits[-5:]) / 5 < sum(bits[:5]) / 5 - 0.1
    barely, better = (read_json(folder / "summary.json") for folder in (straight, tmp_path))
    for split in ("validation", "test"):
        assert better["bits_per_dim"][split] < barely["bits_per_dim"][split] - 0.2
        assert 0 < better["bits_per_dim_error"][split] < 0.1


def test_the_file_is_a_generator_that_says_what_made_it(straight: Path) -> None:
    G = generators.load(str(straight))
    assert (G.name, G.latent_dim, G.image_size, G.channels) == ("residual-flow", 64, 8, 1)
    assert dict(G.made_by) == read_json(straight / "summary.json")
    assert G.made_by["settings"] == fit_settings().tree()
    assert G.made_by["command"] == "copgen generator fit digits --recipe residual-flow"
    assert G.made_by["quality"]["latent"] == 64.0
    assert G.made_by["quality"]["inversion_error"] < 1e-3
    images = G(G.sample_prior(range(4), 0))
    assert images.shape == (4, 1, 8, 8)
    assert bool(images.isfinite().all())


def test_the_file_is_no_other_flow(straight: Path) -> None:
    with pytest.raises(DataError, match="'residual-flow', not 'digits'"):
        generators.load("digits", weights=straight / ARTEFACT)


def test_the_weights_that_are_kept_are_the_averaged_ones(straight: Path) -> None:
    state = newest(straight)
    kept = generators.load(str(straight)).state_dict()
    names = [name for name in state["flow"] if name.endswith("weight")]
    assert names
    assert all(torch.equal(kept[f"flow.{name}"], state["averaged"][name]) for name in names)
    assert not any(torch.equal(kept[f"flow.{name}"], state["flow"][name]) for name in names)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_updated_with_it(
    tmp_path: Path, straight: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    with pytest.raises(Stopped):
        fit_residual_flow(fit_settings(), out=tmp_path, events=At(4 * B, lambda: send(signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")
    real = likelihood.mean_bits
    with monkeypatch.context() as patch:
        patch.setattr(likelihood, "mean_bits", lambda *arguments, **more: real(*arguments, **more) * value)
        with pytest.raises(Diverged, match=r"bits_per_dim is (nan|inf) at update 5") as caught:
            fit_residual_flow(fit_settings(), out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED
    assert files(tmp_path / "checkpoints") == before
    fit_residual_flow(fit_settings(), out=tmp_path)
    assert_same_run(tmp_path, straight, ARTEFACT)


def test_a_finished_run_returns_its_summary_and_computes_nothing(
    straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(straight)
    monkeypatch.setattr(likelihood, "mean_bits", None)
    assert fit_residual_flow(fit_settings(), out=straight) == read_json(straight / "summary.json")
    assert files(straight) == before


def test_changed_settings_are_refused_with_the_difference(straight: Path) -> None:
    wider = NETWORK.model_copy(update={"linear_width": 32})
    with pytest.raises(UsageError, match=r"network\.linear_width: 8 -> 32") as caught:
        fit_residual_flow(fit_settings(network=wider, seed=1), out=straight)
    assert "seed: 0 -> 1" in caught.value.what


def test_overwrite_starts_from_scratch(tmp_path: Path, straight: Path) -> None:
    fit_residual_flow(fit_settings(seed=1, updates=2), out=tmp_path)
    fit_residual_flow(fit_settings(), out=tmp_path, overwrite=True)
    assert_same_run(tmp_path, straight, ARTEFACT)


@pytest.mark.parametrize("updates", [1, 1000])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(
    temporary: Path, updates_per_read: set[int], updates: int
) -> None:
    found = estimate(fit_settings(updates=updates))
    assert updates_per_read == {1}
    assert list(temporary.iterdir()) == []
    assert all(0 < value < math.inf for value in found.values())


def photos(path: Path, side: int, *, count: int = 20) -> Path:
    """A folder of images without a test split."""
    path.mkdir()
    draw = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path / f"{number:02d}.png")
    return path


def test_a_folder_of_photos_gets_a_flow_of_their_shape(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 12)
    settings = fit_settings(dataset=str(folder), image_size=8, updates=1, mirror=True)
    summary = fit_residual_flow(settings, out=tmp_path / "run")
    G = generators.load(str(tmp_path / "run"))
    assert (G.latent_dim, G.image_size, G.channels) == (192, 8, 3)
    assert set(summary["bits_per_dim"]) == {"validation"}
    assert held_out_pixels(settings.replaced(split="train+validation")) == {}


@pytest.mark.parametrize("side", [9, 30])
def test_images_that_cannot_be_halved_from_scale_to_scale_are_refused(tmp_path: Path, side: int) -> None:
    network = NETWORK.model_copy(update={"blocks": (1, 1, 1)})
    with pytest.raises(ValueError, match=f"{side} pixels"):
        fit_settings(network=network, image_size=side)


def test_too_few_images_for_a_batch_are_refused(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 8, count=5)
    with pytest.raises(DataError) as caught:
        fit_residual_flow(fit_settings(dataset=str(folder), image_size=8), out=tmp_path / "run")
    assert caught.value.code == ExitCode.DATA
    assert not (tmp_path / "run").exists()
