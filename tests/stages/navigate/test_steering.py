"""Steering: walks learn to imitate edits, with every generator, and a stopped run resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import generators
from copgen.latents.walks import FILE_NAME, load_walk
from copgen.runtime.errors import Diverged, UsageError
from copgen.runtime.events import Events
from copgen.stages.navigate import steering as stage
from copgen.stages.navigate.steering import navigate_steering, steering_loss
from copgen.stages.navigate.steering_settings import SteeringSettings
from copgen.stages.navigator.show import show
from copgen.views.edit_ranges import EditRanges
from copgen.views.edits import draw_edits, edit, sliders
from tests.generators import narrow
from tests.stages.small import assert_same_run, interrupted


def settings_of(weights: Path, **changes: Any) -> SteeringSettings:
    fields = {"generator": "digits", "weights": weights, "samples": 40, "batch": 8, "checkpoint_every": 2}
    return SteeringSettings.model_validate({**fields, "device": "cpu", "lr": 1e-2, **changes})


def test_the_first_update_is_adams_step_down_the_masked_error(flow: Path, tmp_path: Path) -> None:
    settings = settings_of(flow, samples=8)
    navigate_steering(settings, out=tmp_path)
    walk, header = load_walk(tmp_path)
    assert header["made_by"]["weights_sha256"] == generators.load("digits", weights=flow).weights_sha256

    G = generators.load("digits", weights=flow)
    start = stage.new_walk(settings, G)
    assert float(start.directions.detach().std()) == pytest.approx(0.1, rel=0.1)
    z = G.sample_prior(range(8), 0)
    drawn = draw_edits(EditRanges(), channels=1, seed=0, rows=range(8), stream=stage.STREAM)
    y, M = edit(G(z), drawn)
    x_pos = G(z + (sliders(drawn, EditRanges()).float()[:, :, None] * start.directions).sum(1))
    loss = ((x_pos - y) ** 2)[M].sum() / M.sum()
    (gradient,) = torch.autograd.grad(loss, start.directions)
    moved = walk.directions - start.directions.detach()
    clear = gradient.abs() > 1e-3 * gradient.abs().max()
    torch.testing.assert_close(moved[clear], -1e-2 * gradient.sign()[clear], rtol=1e-2, atol=1e-5)


def test_the_error_of_masked_pixels_does_not_count() -> None:
    x, y = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    M = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    assert float(steering_loss(x, y, M)) == 0.0
    M[0, 0, 0, :2] = True
    y[0, :, 0, 1] = 3.0
    assert float(steering_loss(x, y, M)) == pytest.approx((1 + 9) / 2)


@pytest.mark.parametrize("name", narrow.NAMES)
def test_every_generator_is_steered_at_its_own_resolution(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PREVIEW_PAIRS", 2)
    weights = narrow.published(name, tmp_path)
    settings = settings_of(weights, generator=name, samples=4, batch=2)
    summary = navigate_steering(settings, out=tmp_path / "run")
    assert summary["updates"] == 2
    G = generators.load(name, weights=weights)
    assert list(summary["rms"])[5:] == [f"colour_{c}" for c in range(G.channels)]
    walk, _ = load_walk(tmp_path / "run")
    assert tuple(walk.directions.shape) == (5 + G.channels, G.latent_dim)
    found = show(tmp_path / "run", out=tmp_path / "sheet.png", images=2, device="cpu")
    assert (found["kind"], found["generator"]) == ("walk", name)


def test_a_walk_learns_to_imitate_what_the_generator_can_do(flow: Path, tmp_path: Path) -> None:
    """Colour, here brightness, which moves every pixel alike."""
    ranges = {"rotation_3d": 1e-3, "rotation_2d": 1e-3, "zoom": 1.001, "shift": 1e-3, "colour": 0.5}
    settings = settings_of(flow, edits=ranges, samples=60 * 32, batch=32, lr=3e-2, init_std=1e-3)
    summary = navigate_steering(settings, out=tmp_path)
    assert summary["loss_last"] < 0.8 * summary["loss_first"]
    G = generators.load("digits", weights=flow)
    walk, _ = load_walk(tmp_path)
    z = G.sample_prior(range(200), 9)
    strengths = torch.zeros(200, 6)
    strengths[:, 5] = 0.5
    brighter = (G(walk.steer(z, strengths)) - G(z)).mean()
    darker = (G(walk.steer(z, -strengths)) - G(z)).mean()
    assert float(darker) < -0.1 < 0.1 < float(brighter)


@pytest.mark.parametrize("at", [(16,), (8, 24)])
def test_an_interrupted_run_goes_on_to_the_same_bytes(flow: Path, tmp_path: Path, at: tuple[int, ...]) -> None:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return navigate_steering(settings_of(flow), out=out, events=events)

    navigate_steering(settings_of(flow), out=tmp_path / "straight")
    interrupted(run, tmp_path / "run", at)
    assert_same_run(tmp_path / "run", tmp_path / "straight", FILE_NAME)
    before = (tmp_path / "run" / FILE_NAME).stat().st_mtime_ns
    assert navigate_steering(settings_of(flow), out=tmp_path / "run")["updates"] == 5
    assert (tmp_path / "run" / FILE_NAME).stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"lr: 0\.01 -> 0\.02"):
        navigate_steering(settings_of(flow, lr=0.02), out=tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_it(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "steering_loss", lambda x, y, M: (x - y).sum() / 0.0)
    with pytest.raises(Diverged, match="loss is"):
        navigate_steering(settings_of(flow), out=tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


def test_the_estimate_times_each_update_and_leaves_nothing(
    flow: Path, temporary: Path, updates_per_read: set[int]
) -> None:
    found = stage.estimate(settings_of(flow, samples=800))
    assert list(temporary.iterdir()) == []
    assert updates_per_read == {1}
    assert found["seconds"] > 0
    assert found["disk_bytes"] > 1000
