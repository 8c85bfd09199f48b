"""The turn of the smoothed loss of f: replayed on the authors' published curve, and on known curves."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch

from copgen.latents.navigator import Navigator
from copgen.stages.navigate.stopping.loss_turn import HALF_LIFE, PATIENCE, LossTurn
from tests.stages.navigate.stopping.published import BATCH, LOSS, interpolated, updates
from tests.stages.navigate.stopping.replay import NOISES, replayed


def detector(*, half_life: int = HALF_LIFE, patience: int = PATIENCE, batch: int = BATCH) -> LossTurn:
    return LossTurn(batch=batch, half_life=half_life, patience=patience)


def marked(update: int) -> Navigator:
    """A navigator that says how many updates it has had."""
    navigator = Navigator(1, 1)
    with torch.no_grad():
        for parameter in navigator.parameters():
            parameter.fill_(update)
    return navigator


def watch(turn: LossTurn, losses: Iterable[float], *, weights: bool = True) -> int | None:
    """Feed losses in order; the number of updates at which the turn was seen."""
    for loss in losses:
        if turn.watch(loss, marked(turn.updates + 1).state_dict() if weights else {}):
            return turn.updates
    return None


@pytest.mark.parametrize(("std", "correlation"), NOISES)
def test_the_turn_of_the_published_curve_is_where_the_authors_stopped(std: float, correlation: float) -> None:
    assert replayed("published", std=std, correlation=correlation, samples=600_000).near >= 0.98


def test_without_noise_the_minimum_is_found_to_within_the_memory_of_the_mean() -> None:
    turn = detector()
    seen = watch(turn, interpolated(LOSS, updates(600e3)).tolist())
    assert seen is not None
    assert 185e3 <= turn.chosen_update * BATCH <= 200e3 + HALF_LIFE
    assert seen - turn.minimum_update == math.ceil(PATIENCE / BATCH)
    assert turn.minimum_update - turn.chosen_update == pytest.approx(HALF_LIFE / 4 / BATCH, abs=2 * turn.spacing)
    assert turn.best["layers.0.weight"].item() == turn.chosen_update


@pytest.mark.parametrize(
    ("curve", "seen"),
    [
        (lambda drawn: 6.0 - drawn / 1e6, False),  # still falling
        (lambda drawn: 6.0 + 0.0 * drawn, True),  # flat: nothing to wait for
        (lambda drawn: 6.0 + 0.3 * np.cos(drawn / 1e5), True),  # turns twice: the first counts
    ],
)
def test_curves_that_fall_are_flat_or_turn_twice(curve: Callable[[np.ndarray], np.ndarray], seen: bool) -> None:
    turn = detector()
    assert (watch(turn, curve(updates(1e6)).tolist(), weights=False) is not None) is seen
    if seen:
        assert turn.chosen_update * BATCH < 450e3  # before the second minimum


def test_a_low_loss_among_the_first_is_no_minimum() -> None:
    falling = [3.0, *np.linspace(3.4, 3.0, 100)]
    turn = detector(half_life=20, patience=50, batch=1)
    assert watch(turn, falling) is None
    assert turn.minimum_update == len(falling)


def test_the_smoothed_loss_is_the_weighted_mean_of_all_losses_so_far() -> None:
    losses = [4.0, 3.0, 5.0, 1.0]
    turn = detector(half_life=30, batch=10)
    watch(turn, losses)
    weights = [0.5 ** (age / 3) for age in (3, 2, 1, 0)]
    assert turn.smoothed() == pytest.approx(np.average(losses, weights=weights), rel=1e-12)


@pytest.mark.parametrize("half_life", [1, 10, 100, 1000])
def test_few_navigators_are_kept(half_life: int) -> None:
    turn = detector(half_life=half_life, batch=1)
    watch(turn, np.linspace(3.0, 1.0, 500).tolist())
    assert 1 <= len(turn.recent) <= 7
    assert turn.chosen_update == pytest.approx(500 - half_life / 4, abs=2 * turn.spacing) or half_life > 500


def test_the_kept_navigator_is_a_copy() -> None:
    navigator = marked(7)
    turn = detector(half_life=1, batch=100)
    turn.watch(1.0, navigator.state_dict())
    with torch.no_grad():
        navigator.layers[0].weight.add_(1.0)  # type: ignore[operator]
    assert turn.best["layers.0.weight"].item() == 7


@pytest.mark.parametrize("pause", [0, 1, 10, 19, 20, 150])
def test_a_detector_that_is_saved_and_restored_sees_the_same(pause: int) -> None:
    losses = [3.0 + 0.3 * math.cos(update / 40) + 0.05 * (update % 3) for update in range(400)]
    straight = detector(half_life=14, patience=60, batch=1)
    seen = watch(straight, losses)
    first = detector(half_life=14, patience=60, batch=1)
    assert watch(first, losses[:pause]) is None
    state = first.state_dict()
    weights = {name: state.pop(name) for name in ("best", "recent")}
    restored = detector(half_life=14, patience=60, batch=1)
    restored.load_state_dict({**json.loads(json.dumps(state, allow_nan=False)), **weights})
    assert watch(restored, itertools.islice(losses, pause, None)) == seen
    assert seen is not None
    assert restored.state_dict() == straight.state_dict()


def test_a_minimum_without_weights_outlives_a_checkpoint() -> None:
    turn = detector(half_life=1, batch=100)
    turn.watch(1.0, {})
    restored = detector(half_life=1, batch=100)
    restored.load_state_dict(json.loads(json.dumps(turn.state_dict(), allow_nan=False)))
    assert (restored.minimum, restored.minimum_update) == (1.0, 1)
