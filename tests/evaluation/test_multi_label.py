"""Average precision of a class: by hand, against the definition over exact fractions, and the probe around it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from copgen.evaluation.logistic import Labelled
from copgen.evaluation.multi_label import Probe, area, class_probe, curve, eleven_points, prepared
from copgen.runtime.errors import DataError


def points(present: list[bool]) -> list[tuple[Fraction, Fraction]]:
    """(recall, precision) after each image of a ranking."""
    found, positives = [], sum(present)
    for end in range(1, len(present) + 1):
        true = sum(present[:end])
        found.append((Fraction(true, positives), Fraction(true, end)))
    return found


def by_definition(present: list[bool]) -> float:
    """The devkit's: the mean over the recalls 0, 0.1, ..., 1 of the best precision at no lower a recall."""
    best = [
        max((precision for recall, precision in points(present) if recall >= Fraction(tenth, 10)), default=Fraction(0))
        for tenth in range(11)
    ]
    return float(sum(best) / 11)


def area_by_definition(present: list[bool]) -> float:
    """The best precision at no lower a recall, summed over the positives."""
    ranked, positives = points(present), sum(present)
    steps = [
        max(precision for recall, precision in ranked if recall >= Fraction(k, positives))
        for k in range(1, positives + 1)
    ]
    return float(sum(steps) / positives)


def measured(present: list[bool], scores: list[float] | None = None) -> tuple[float, float]:
    ranking = -np.arange(len(present), dtype=float) if scores is None else np.array(scores)
    true, false = curve(ranking, np.array(present))
    return eleven_points(true, false, sum(present)), area(true, false, sum(present))


@pytest.mark.parametrize(
    ("present", "ap", "below"),
    [
        ([True], 1.0, 1.0),
        ([True, True, False], 1.0, 1.0),
        ([False, True], 0.5, 0.5),
        ([True, False, True], (6 * 1 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),  # recall 0.5 at precision 1
        ([False, False, False, True], 0.25, 0.25),
    ],
)
def test_by_hand(present: list[bool], ap: float, below: float) -> None:
    assert measured(present) == pytest.approx((ap, below))


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
@settings(deadline=None)
def test_any_ranking_against_the_definitions(present: list[bool]) -> None:
    assert measured(present) == pytest.approx((by_definition(present), area_by_definition(present)))


def test_equal_scores_keep_their_order() -> None:
    assert measured([True, False], [1.0, 1.0]) == (1.0, 1.0)
    assert measured([False, True], [1.0, 1.0]) == (0.5, 0.5)


def problem(count: int, seed: int) -> Labelled:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 5))
    labels = np.where(features[:, 0] + 0.7 * draw.normal(size=count) > 0.5, 1, -1)
    labels[::9] = 0
    return Labelled(features, labels)


@pytest.mark.parametrize("probe", ["linear", "svm"])
def test_difficult_images_do_not_count(probe: Probe) -> None:
    train, test = problem(120, 0), problem(90, 1)
    how = {"name": "cat", "probe": probe, "costs": (0.01, 1.0), "folds": 3, "max_iterations": 5000}
    found = class_probe(train, test, **how)  # type: ignore[arg-type]
    other = Labelled(test.features.copy(), test.labels)
    other.features[::9] *= -50.0
    assert class_probe(train, other, **how) == found  # type: ignore[arg-type]
    assert found.positives == int((test.labels == 1).sum())
    assert found.converged
    assert 0.5 < found.area < 1


def test_the_cost_is_chosen_on_stratified_folds() -> None:
    train, test = problem(120, 2), problem(60, 3)
    costs = (1e-4, 1e-2, 1.0)
    found = class_probe(train, test, name="cat", probe="svm", costs=costs, folds=3, max_iterations=5000)
    kept = train.labels != 0
    x, y = train.features[kept], train.labels[kept]
    expected = []
    for c in costs:
        precisions = []
        for rows, held_out in StratifiedKFold(3).split(x, y):
            machine = LinearSVC(C=c, class_weight={1: 2, -1: 1}, dual=False).fit(x[rows], y[rows])
            order = np.argsort(-machine.decision_function(x[held_out]), kind="stable")
            there = y[held_out][order] == 1
            precisions.append(float((np.cumsum(there) / np.arange(1, len(there) + 1))[there].mean()))
        expected.append(sum(precisions) / 3)
    assert found.folds_ap == pytest.approx(expected)
    assert costs[int(np.argmax(expected))] == found.C


def test_features_are_prepared_with_the_training_images_alone() -> None:
    draw = np.random.default_rng(4)
    train, test = draw.normal(3.0, 2.0, (50, 4)), draw.normal(size=(20, 4))
    standard, others = prepared(train, test, probe="linear")
    assert standard.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
    assert others == pytest.approx((test - train.mean(axis=0)) / train.std(axis=0))
    assert np.linalg.norm(prepared(train, test, probe="svm")[1], axis=1) == pytest.approx(np.ones(20), rel=1e-4)


def test_too_few_images_of_a_class_are_named() -> None:
    train, test = problem(60, 5), problem(30, 6)
    how = {"name": "cat", "probe": "svm", "costs": (1.0,), "folds": 3, "max_iterations": 100}
    rare = Labelled(train.features, np.where(np.arange(60) < 2, 1, -1))
    with pytest.raises(DataError, match=r"2 training images .* cat"):
        class_probe(rare, test, **how)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"test image .* cat"):
        class_probe(train, Labelled(test.features, -np.ones(30, dtype=np.int64)), **how)  # type: ignore[arg-type]
