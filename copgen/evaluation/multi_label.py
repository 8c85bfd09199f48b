"""Probes of images with several classes (VOC): a binary problem for each class, and its average precision.

Difficult images, whose objects of the class are all difficult, are left out of training and test of this class. The
strength C is that with the highest average precision over folds of the training images.

Legend: N images, D feature dimension, P positives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from copgen.evaluation.logistic import Labelled, converged, converging, logistic_regression
from copgen.evaluation.svm import of_length_one, support_vector_machine
from copgen.runtime.errors import DataError

Probe = Literal["linear", "svm"]
Features = npt.NDArray[np.floating[Any]]
WEIGHTS = {1: 2.0, -1: 1.0}  # of the classes of a machine; VISSL, GenRep


@dataclass(frozen=True)
class ClassProbe:
    """The probe of a class.

    Attributes:
        ap: 11-point average precision on the test images, the metric of VOC 2007.
        area: area below the interpolated curve of precision, the metric of VOC since 2010; VISSL, GenRep.
        C: chosen on folds.
        folds_ap: of each C, the mean average precision over the folds.
        positives: test images with the class.
        converged: whether every fit did.
    """

    ap: float
    area: float
    C: float
    folds_ap: tuple[float, ...]
    positives: int
    converged: bool


def prepared(train: Features, test: Features, *, probe: Probe) -> tuple[Features, Features]:
    """The features (N, D) for a probe: of length 1 for svm, else standardised over the training images."""
    if probe == "svm":
        return of_length_one(train), of_length_one(test)
    over, rest = (Labelled(part, np.zeros(len(part), dtype=np.int64)) for part in (train, test))
    return over.standardised(over).features, rest.standardised(over).features


def class_probe(
    train: Labelled,
    test: Labelled,
    *,
    name: str,
    probe: Probe,
    costs: Sequence[float],
    folds: int,
    max_iterations: int,
) -> ClassProbe:
    """Fit and evaluate the probe of a class.

    Args:
        train, test: prepared features; labels 1, -1, or 0 for difficult.
        name: of the class.
        probe: linear (logistic regression) or svm.
        costs: C to choose from.
        folds: of the training images, stratified and in their order.
        max_iterations: of a fit.

    Raises:
        DataError: fewer training images with the class, or without it, than folds; or none in the test images.
    """
    train, test = (part.subset(np.flatnonzero(part.labels)) for part in (train, test))
    for sign, what in ((1, "with"), (-1, "without")):
        if (count := int((train.labels == sign).sum())) < folds:
            raise DataError(f"{count} training images are {what} the class {name}; {folds} folds need {folds}.")
    if not (test.labels == 1).any():
        raise DataError(f"No test image has the class {name}.", fix="Complete the lists of the test images.")
    grid = sorted(costs)
    found = [_over_folds(_model(probe, c, max_iterations), train, folds) for c in grid]
    best = int(np.argmax([ap for ap, _ in found]))  # the smallest of equals
    model, fine = converging(_model(probe, grid[best], max_iterations), train)
    true, false = curve(model.decision_function(test.features), test.labels == 1)
    positives = int(true[-1])
    return ClassProbe(
        ap=eleven_points(true, false, positives),
        area=area(true, false, positives),
        C=grid[best],
        folds_ap=tuple(ap for ap, _ in found),
        positives=positives,
        converged=fine and all(every for _, every in found),
    )


def curve(
    scores: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Numbers of true and of false positives (N,) among the images with the highest scores; equals in their order."""
    ranked = present[np.argsort(-scores, kind="stable")]
    return np.cumsum(ranked).astype(np.float64), np.cumsum(~ranked).astype(np.float64)


def eleven_points(true: npt.NDArray[np.float64], false: npt.NDArray[np.float64], positives: int) -> float:
    """The mean of the interpolated precision at the recalls 0, 0.1, ..., 1, which are compared without rounding.

    Args:
        true, false: as `curve` returns them.
        positives: P.
    """
    needed = [-(-tenth * positives // 10) for tenth in range(11)]  # true positives that give the recall
    return float(_envelope(true, false)[np.searchsorted(true, needed)].mean())


def area(true: npt.NDArray[np.float64], false: npt.NDArray[np.float64], positives: int) -> float:
    """The area below the interpolated curve of precision over recall; arguments as `eleven_points`."""
    return float((np.diff(true, prepend=0.0) * _envelope(true, false)).sum() / positives)


def _envelope(true: npt.NDArray[np.float64], false: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The best precision (N,) of this or a longer ranking."""
    best: npt.NDArray[np.float64] = np.maximum.accumulate((true / (true + false))[::-1])[::-1]
    return best


def _model(probe: Probe, c: float, max_iterations: int) -> Any:
    if probe == "svm":
        return support_vector_machine(c, max_iterations=max_iterations, weights=WEIGHTS)
    return logistic_regression(c, max_iterations=max_iterations)


def _over_folds(model: Any, train: Labelled, folds: int) -> tuple[float, bool]:
    """The mean average precision over folds, and whether every fit converged."""
    from sklearn.model_selection import cross_validate

    how = {"cv": folds, "scoring": "average_precision", "return_estimator": True}
    found = cross_validate(model, train.features, train.labels, **how)
    return float(found["test_score"].mean()), all(map(converged, found["estimator"]))
