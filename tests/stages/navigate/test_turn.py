"""The turn of the smoothed loss of f, on known curves."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch

from copgen.latents.navigator import Navigator
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.turn import TurnDetector

# The authors' BigBiGAN run as far as it can be read off their figure: thousands of samples, loss of f as they logged
# it, which is 0.1 / 0.07 times the loss in nats. The minimum is flat from 170K to 200K, where they stopped by eye.
PUBLISHED = ((0, 7.95), (50, 6.85), (170, 6.52), (200, 6.5), (400, 7.0), (600, 7.2), (800, 7.35), (1000, 7.45))
BATCH = 176


def published_curve() -> np.ndarray:
    """The loss in nats at each update of 176."""
    samples, logged = zip(*PUBLISHED, strict=True)
    updates = np.arange(1000 * samples[-1] // BATCH)
    curve: np.ndarray = np.interp(updates * BATCH, 1000 * np.asarray(samples), np.asarray(logged) * 0.07 / 0.1)
    return curve


def marked(update: int) -> Navigator:
    """A navigator that says how many updates it has had."""
    navigator = Navigator(1, 1)
    with torch.no_grad():
        for parameter in navigator.parameters():
            parameter.fill_(update)
    return navigator


def watch(detector: TurnDetector, losses: Iterable[float]) -> int | None:
    """Feed losses in order; the number of updates at which the turn was seen."""
    for loss in losses:
        if detector.watch(loss, marked(detector.updates + 1).state_dict()):
            return detector.updates
    return None


@pytest.mark.parametrize("seed", range(5))
def test_the_turn_of_the_published_curve_is_where_the_authors_stopped(seed: int) -> None:
    curve = published_curve()
    losses = curve + 0.05 * np.random.default_rng(seed).standard_normal(len(curve))
    smoothing, rise = (NavigateSettings.model_fields[name].default for name in ("turn_smoothing", "turn_rise"))
    detector = TurnDetector(smoothing=smoothing, rise=rise)
    seen = watch(detector, losses.tolist())
    assert seen is not None
    assert 200e3 < seen * BATCH < 260e3
    assert 160e3 < detector.minimum_update * BATCH < 230e3
    assert detector.best["layers.0.weight"].item() == detector.minimum_update


def test_without_noise_the_minimum_is_found_to_within_the_memory_of_the_mean() -> None:
    detector = TurnDetector(smoothing=0.95, rise=0.05)
    assert watch(detector, published_curve().tolist()) is not None
    assert 200e3 <= detector.minimum_update * BATCH <= 200e3 + 3 * 20 * BATCH


def test_a_low_loss_among_the_first_is_no_minimum() -> None:
    falling = [3.0, *np.linspace(3.4, 3.0, 100)]
    detector = TurnDetector(smoothing=0.95, rise=0.05)
    assert watch(detector, falling) is None
    assert detector.minimum_update == len(falling)


@pytest.mark.parametrize(
    ("losses", "rise", "seen", "minimum"),
    [
        ([3.0, 2.0, 1.0, 1.5, 2.0], 0.4, 4, 3),
        ([3.0, 2.0, 1.0, 1.5, 2.0], 0.5, 5, 3),
        ([3.0, 2.0, 1.0, 1.5, 2.0], 1.0, None, 3),
        ([1.0, 1.0, 1.0], 0.1, None, 1),
        ([3.0, 2.0, 2.5, 1.0, 1.2], 0.6, None, 4),
    ],
)
def test_without_smoothing_the_rise_above_the_minimum_decides(
    losses: Sequence[float], rise: float, seen: int | None, minimum: int
) -> None:
    detector = TurnDetector(smoothing=0.0, rise=rise)
    assert watch(detector, losses) == seen
    assert detector.minimum_update == minimum
    assert detector.best["layers.2.bias"].item() == minimum


def test_the_smoothed_loss_is_the_weighted_mean_of_all_losses_so_far() -> None:
    losses = [4.0, 3.0, 5.0, 1.0]
    detector = TurnDetector(smoothing=0.9, rise=1.0)
    watch(detector, losses)
    weights = [0.9**age for age in (3, 2, 1, 0)]
    assert detector.smoothed() == pytest.approx(np.average(losses, weights=weights), rel=1e-12)


def test_the_kept_navigator_is_a_copy() -> None:
    navigator = marked(7)
    detector = TurnDetector(smoothing=0.0, rise=1.0)
    detector.watch(1.0, navigator.state_dict())
    with torch.no_grad():
        navigator.layers[0].weight.add_(1.0)  # type: ignore[operator]
    assert detector.best["layers.0.weight"].item() == 7


@pytest.mark.parametrize("pause", [0, 1, 10, 19, 20, 150])
def test_a_detector_that_is_saved_and_restored_sees_the_same(pause: int) -> None:
    losses = [3.0 + 0.3 * math.cos(update / 40) + 0.05 * (update % 3) for update in range(400)]
    straight = TurnDetector(smoothing=0.95, rise=0.1)
    seen = watch(straight, losses)
    first = TurnDetector(smoothing=0.95, rise=0.1)
    assert watch(first, losses[:pause]) is None
    state = first.state_dict()
    numbers = {name: value for name, value in state.items() if name != "best"}
    restored = TurnDetector(smoothing=0.95, rise=0.1)
    restored.load_state_dict({**json.loads(json.dumps(numbers, allow_nan=False)), "best": state["best"]})
    assert watch(restored, itertools.islice(losses, pause, None)) == seen
    assert seen is not None
    assert restored.state_dict() == straight.state_dict()


def test_a_minimum_without_weights_outlives_a_checkpoint() -> None:
    detector = TurnDetector(smoothing=0.0, rise=1.0)
    detector.watch(1.0, {})
    restored = TurnDetector(smoothing=0.0, rise=1.0)
    restored.load_state_dict(json.loads(json.dumps(detector.state_dict(), allow_nan=False)))
    assert (restored.minimum, restored.minimum_update) == (1.0, 1)
