"""Multinomial logistic regression on features, fitted to convergence, with its L2 strength chosen on validation data.

Legend: N images, D feature dimension, C inverse L2 strength: the fit minimises C sum(loss) + |weights|^2 / 2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Fit = Callable[..., tuple[Any, bool]]
SMALL = 10_000  # training images up to which it is the default: beyond, a fit takes minutes to hours
ROWS = 4096  # in float64 at once, for mean and standard deviation
TOLERANCE = 1e-5  # on the gradient of the mean loss; ten times tighter than scikit-learn's default


@dataclass(frozen=True)
class Labelled:
    """features (N, D) float32 as they were extracted, or float64; labels (N,) int64."""

    features: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def standardised(self, train: Labelled) -> Labelled:
        """In float64, with mean 0 and variance 1 over `train`; a feature that is constant there is only centred."""
        mean, std = train.mean_and_std
        features = self.features.astype(np.float64)
        features -= mean
        features /= std
        return Labelled(features, self.labels)

    @cached_property
    def mean_and_std(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Of each feature (D,) float64, 1 for the deviation of one that is constant; only `ROWS` rows are copied."""
        mean = self._sum(lambda rows: rows) / len(self)
        std = np.sqrt(self._sum(lambda rows: np.square(rows - mean)) / len(self))
        varies = std > 1e-6 * np.abs(mean)  # features come from float32: anything smaller is rounding
        return mean, np.where(varies, std, 1.0)

    def _sum(self, of: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """The sum (D,) of `of` the rows, added one after the other, as NumPy adds all of them."""
        total = np.zeros(self.features.shape[1])
        for start in range(0, len(self), ROWS):
            rows = of(self.features[start : start + ROWS].astype(np.float64))
            rows[0] += total
            total = rows.sum(axis=0)
        return total

    def subset(self, rows: npt.NDArray[np.int64]) -> Labelled:
        """The images of these rows, in their order."""
        return Labelled(self.features[rows], self.labels[rows])

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled(np.concatenate((self.features, other.features)), np.concatenate((self.labels, other.labels)))


@dataclass(frozen=True)
class Choice:
    """The chosen C with its model, the validation accuracy of each C tried, and whether every fit converged."""

    C: float
    model: Any
    validation_top1: tuple[float, ...]
    converged: bool


def fit(data: Labelled, c: float, *, max_iterations: int) -> tuple[Any, bool]:
    """The model at strength C, and whether L-BFGS reached its tolerance within `max_iterations`."""
    return converging(logistic_regression(c, max_iterations=max_iterations), data)


def logistic_regression(c: float, *, max_iterations: int) -> Any:
    """A model to fit."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, tol=TOLERANCE, max_iter=max_iterations)


def converging(model: Any, data: Labelled) -> tuple[Any, bool]:
    """The model, fitted, and `converged`."""
    model.fit(data.features, data.labels)
    return model, converged(model)


def converged(model: Any) -> bool:
    """Whether a fitted model converged within its iterations; models may be fitted on several threads.

    One that took all of them did not: both solvers count the last one without asking whether it reached the tolerance.
    Warnings of scikit-learn do not tell, as Python keeps their filters for all threads together.
    """
    return int(np.max(model.n_iter_)) < int(model.max_iter)


def choose(
    train: Labelled, validation: Labelled, *, c_grid: Sequence[float], max_iterations: int, fit: Fit = fit
) -> Choice:
    """Fit on train for each C in ascending order and choose the best on validation; the smallest C on ties.

    Args:
        train, validation: the splits.
        c_grid: C to choose from.
        max_iterations: of a fit.
        fit: another classifier's `fit`.
    """
    grid = sorted(c_grid)
    fits = [fit(train, c, max_iterations=max_iterations) for c in grid]
    accuracies = tuple(top1(model, validation) for model, _ in fits)
    best = int(np.argmax(accuracies))
    return Choice(grid[best], fits[best][0], accuracies, all(fine for _, fine in fits))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run fits on one thread: bitwise the same on any number of cores, and several times faster for small matrices.

    Scikit-learn's warnings that iterations did not suffice, which `converged` answers, are not shown inside it; that of
    a line search that failed is. It is entered once, around fits on several threads too.
    """
    import sklearn.linear_model  # noqa: F401  (only libraries that are loaded can be limited)
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1), warnings.catch_warnings():
        for said in (r"lbfgs failed to converge.*\(status=1\)", "Liblinear failed to converge"):
            warnings.filterwarnings("ignore", said, ConvergenceWarning)
        yield


def top1(model: Any, data: Labelled) -> float:
    """The fraction of images whose most likely class is their label."""
    return float((model.predict(data.features) == data.labels).mean())


def ranked(model: Any, data: Labelled) -> npt.NDArray[np.int64]:
    """The labels of all classes for each image (N, C), from the most likely on; the first is what `top1` compares."""
    decision = np.asarray(model.decision_function(data.features))
    if decision.ndim == 1:  # of two classes: the second against the first
        decision = np.stack((-decision, decision), axis=1)
    order = np.argsort(-decision, axis=1, kind="stable")
    labels: npt.NDArray[np.int64] = np.asarray(model.classes_, dtype=np.int64)[order]
    return labels
