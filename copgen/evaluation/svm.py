"""Linear support vector machines on features of length 1: squared hinge loss, L2 penalty (LIBLINEAR).

    |w|^2 / 2 + C sum_i weight_i max(0, 1 - y_i (w . x_i + b))^2,        b is part of w

As in VISSL and GenRep (after Goyal et al. 2019), features are divided by their length, and the bias is penalised too.
The problem is solved in its primal form, without random numbers. Several classes are one against the rest.

Legend: N images, D feature dimension, C cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from copgen.evaluation.logistic import Labelled, choose, converging, ranked, top1
from copgen.evaluation.probes import LinearProbe

EPSILON = 1e-5  # added to the length; VISSL
COSTS = tuple(10.0**power for power in range(-7, 3))  # GenRep, for VOC07


def of_length_one(features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Features (N, D), each divided by its length, in float64."""
    unit = features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True) + EPSILON
    return unit


def support_vector_machine(c: float, *, max_iterations: int, weights: Mapping[int, float] | None = None) -> Any:
    """A machine to fit; `weights` are those of the classes."""
    from sklearn.svm import LinearSVC

    return LinearSVC(C=c, dual=False, class_weight=None if weights is None else dict(weights), max_iter=max_iterations)


def fit(data: Labelled, c: float, *, max_iterations: int) -> tuple[Any, bool]:
    """The machine at cost C for features of length 1, and whether it converged within `max_iterations`."""
    return converging(support_vector_machine(c, max_iterations=max_iterations), data)


def svm_probe(
    train: Labelled, validation: Labelled, test: Labelled, *, costs: Sequence[float], max_iterations: int
) -> tuple[LinearProbe, npt.NDArray[np.int64]]:
    """Choose the cost on validation, refit on train and validation, evaluate on test.

    Returns:
        The probe, and the labels of all classes for each test image (M, C), from the most likely on.
    """
    train, validation, test = (
        Labelled(of_length_one(part.features), part.labels) for part in (train, validation, test)
    )
    chosen = choose(train, validation, c_grid=costs, max_iterations=max_iterations, fit=fit)
    model, converged = fit(train + validation, chosen.C, max_iterations=max_iterations)
    probe = LinearProbe(top1(model, test), chosen.C, chosen.validation_top1, chosen.converged and converged)
    return probe, ranked(model, test)
