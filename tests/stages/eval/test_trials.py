"""The plan of trials, and what is best of a draw."""

from __future__ import annotations

import pytest

from copgen.stages.eval.trials import Found, Plan, Trial


def plan(**changes: object) -> Plan:
    how = {"draws": 2, "rates": (0.1, 0.2), "total": 1000, "epochs": None, "batch": None}
    return Plan({"1%": 10, "10%": 100}, **{**how, **changes})  # type: ignore[arg-type]


def test_every_update_belongs_to_one_trial() -> None:
    made = plan()
    assert [(t.name, t.draw, t.rate) for t in made.trials] == [
        (name, draw, rate) for name in ("1%", "10%") for draw in (0, 1) for rate in (0.1, 0.2)
    ]
    places = [made.at(update) for update in range(made.updates)]
    for number, trial in enumerate(made.trials):
        own = [at for there, at in places if there is trial]
        assert own == list(range(trial.updates)), number
    assert [(t.first, t.last) for t in made.trials[:2]] == [(True, False), (False, True)]


def test_epochs_and_batches_follow_the_number_of_labels() -> None:
    few, many = plan().trials[0], plan().trials[-1]
    assert (few.batch, few.updates) == (10, 60)  # all labels; 60 epochs
    assert (many.batch, many.updates) == (16, 188)  # at least 16; 30 epochs of 100 images
    large = Plan({"1%": 12_811}, draws=2, rates=(0.1,), total=1_281_167, epochs=None, batch=None).trials[0]
    assert (large.batch, large.updates) == (256, 3003)
    asked = plan(epochs=3, batch=32).trials
    assert [(t.batch, t.updates) for t in (asked[0], asked[-1])] == [(10, 3), (32, 10)]


@pytest.mark.parametrize(("images", "batch", "epochs"), [(10, 10, 3), (100, 16, 2), (20, 7, 5), (50, 50, 1)])
def test_each_epoch_ends_once(images: int, batch: int, epochs: int) -> None:
    trial = Plan({"x": images}, draws=2, rates=(1.0,), total=images, epochs=epochs, batch=batch).trials[0]
    ends = [epoch for update in range(trial.updates) if (epoch := trial.epoch(update)) is not None]
    assert ends == list(range(1, epochs + 1))
    assert trial.epoch(trial.updates - 1) == epochs


def test_the_rate_is_for_256_images_and_falls_to_zero() -> None:
    trial = Trial("1%", 0, 0.5, True, True, 64, 64, 10)
    assert trial.lr(0) == pytest.approx(0.125)
    assert trial.lr(5) == pytest.approx(0.0625)
    rates = [trial.lr(update) for update in range(10)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.01


def test_of_equal_accuracies_the_lower_rate_and_the_later_epoch_is_the_best() -> None:
    low, high = (Trial("1%", 0, rate, rate == 0.1, rate == 0.2, 10, 10, 3) for rate in (0.1, 0.2))
    found = Found()
    found.begin(low)
    assert found.better(low, 0.0)
    found.best = {"top1": 0.5, "rate": 0.1, "epoch": 1.0}
    assert found.better(low, 0.5)
    found.begin(high)
    assert found.best is not None
    assert not found.better(high, 0.5)
    assert found.better(high, 0.6)
    found.begin(low)
    assert found.best is None
