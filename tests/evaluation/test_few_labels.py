"""Properties of the draws of a few labels, and the interval of their accuracies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap  # type: ignore[import-untyped]

from copgen.evaluation.few_labels import drawn, interval
from copgen.runtime.errors import UsageError


def labels_of(seed: int, classes: int) -> np.ndarray:
    """At least 20 images of each class, in random order."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.repeat(np.arange(classes), rng.integers(20, 60, classes))).astype(np.int64)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_every_class_gives_so_many_different_labels(seed: int, classes: int, count: int) -> None:
    labels = labels_of(seed, classes)
    rows = drawn(labels, labels_per_class=count, seed=seed, draw=3)
    assert len(set(rows.tolist())) == len(rows) == classes * count
    assert np.bincount(labels[rows]).tolist() == [count] * classes
    assert set(rows.tolist()) <= set(drawn(labels, labels_per_class=20, seed=seed, draw=3).tolist())


@pytest.mark.parametrize("percent", [1, 10, 33, 100])
@pytest.mark.parametrize("seed", range(3))
def test_shares_are_those_of_each_class_and_at_least_one(percent: int, seed: int) -> None:
    labels = labels_of(seed, 5)
    found = np.bincount(labels[drawn(labels, percent=percent, seed=seed, draw=0)])
    assert found.tolist() == [max(1, round(percent / 100 * count)) for count in np.bincount(labels).tolist()]


def test_draws_depend_on_seed_and_number_alone_and_use_all_images() -> None:
    labels = labels_of(0, 4)

    def rows(seed: int, draw: int) -> list[int]:
        return [int(row) for row in drawn(labels, labels_per_class=5, seed=seed, draw=draw)]

    assert rows(1, 2) == rows(1, 2)
    assert len({tuple(rows(seed, draw)) for seed in range(3) for draw in range(5)}) == 15
    assert {row for draw in range(100) for row in rows(0, draw)} == set(range(len(labels)))


def test_too_many_labels_are_refused_with_the_class() -> None:
    with pytest.raises(UsageError, match=r"4 labels per class.* class 2 has 3 training"):
        drawn(np.array([0] * 9 + [2] * 3), labels_per_class=4, seed=0, draw=0)


def test_the_interval_is_about_that_of_the_bootstrap() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.05, 40)
    low, high = bootstrap((values,), np.mean, random_state=0).confidence_interval
    assert interval(values.tolist()) == pytest.approx((high - low) / 2, rel=0.1)
    assert interval([0.5, 0.7]) == pytest.approx(12.706 * 0.1, rel=1e-3)  # t of one degree of freedom
