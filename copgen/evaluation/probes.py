"""Probes: how well the labels can be predicted from frozen features.

Linear evaluation as in the paper trains one linear layer with SGD and reports the best epoch on the test images. Here
the layer is fitted to convergence (multinomial logistic regression, L-BFGS), its L2 strength 1/C is chosen on the
validation split, and the test split is evaluated once.

Legend: N images, D feature dimension; accuracies are Top-1 fractions in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from copgen.evaluation.few_labels import drawn
from copgen.evaluation.logistic import Fit, Labelled, choose, fit, ranked, top1
from copgen.evaluation.neighbours import QUERIES

Part = Callable[[str, Callable[[], Any]], Any]


def _made(name: str, make: Callable[[], Any]) -> Any:
    return make()


@dataclass(frozen=True)
class LinearProbe:
    """Test accuracy, the chosen C, the validation accuracy of each C tried, and whether every fit converged."""

    top1: float
    C: float
    validation_top1: tuple[float, ...]
    converged: bool


@dataclass(frozen=True)
class FewLabelProbe:
    """Mean and sample standard deviation of the test accuracy over the draws, and the probe of each draw."""

    top1_mean: float
    top1_std: float
    draws: tuple[LinearProbe, ...]


def linear_probe(
    train: Labelled, validation: Labelled, test: Labelled, *, c_grid: Sequence[float], max_iterations: int = 5000
) -> LinearProbe:
    """Choose C on validation, refit on train and validation, evaluate on test; features are standardised on train."""
    return ranked_probe(train, validation, test, c_grid=c_grid, max_iterations=max_iterations)[0]


def ranked_probe(
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    *,
    c_grid: Sequence[float],
    max_iterations: int = 5000,
    fit: Fit = fit,
) -> tuple[LinearProbe, npt.NDArray[np.int64]]:
    """`linear_probe`, and the labels of all classes for each test image (M, C), from the most likely on.

    Args:
        train, validation, test: the splits.
        c_grid, max_iterations: of the fits.
        fit: the solver; `logistic_cuda.solver` has that of a device.
    """
    train, validation, test = _standardised(train, validation, test)
    chosen = choose(train, validation, c_grid=c_grid, max_iterations=max_iterations, fit=fit)
    model, converged = fit(train + validation, chosen.C, max_iterations=max_iterations)
    probe = LinearProbe(top1(model, test), chosen.C, chosen.validation_top1, chosen.converged and converged)
    return probe, ranked(model, test)


def few_label_probe(
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    *,
    labels_per_class: int | None = None,
    percent: float | None = None,
    draws: int,
    seed: int,
    c_grid: Sequence[float],
    max_iterations: int = 5000,
    fit: Fit = fit,
    part: Part = _made,
) -> FewLabelProbe:
    """Fit on random labels of each class of train; C is chosen on validation for each draw.

    Features are standardised on all of train, which needs no labels; there is no refit on validation. Of
    train, only the rows that are drawn are copied.

    Args:
        train, validation, test: the splits.
        labels_per_class, percent: how many labels; see `drawn`.
        draws: how often.
        seed: of the draws; all encoders get the same.
        c_grid, max_iterations: of the fits.
        fit: the solver, as of `ranked_probe`.
        part: returns the fields of a draw's probe by its name, or makes them, as `Journal.part`.

    Raises:
        UsageError: a class has fewer images in train.
    """
    chosen_rows = [
        drawn(train.labels, labels_per_class=labels_per_class, percent=percent, seed=seed, draw=draw)
        for draw in range(draws)
    ]
    validation, test = validation.standardised(train), test.standardised(train)
    probes = []
    for draw, rows in enumerate(chosen_rows):

        def made(rows: npt.NDArray[np.int64] = rows) -> dict[str, Any]:
            few = train.subset(rows).standardised(train)
            chosen = choose(few, validation, c_grid=c_grid, max_iterations=max_iterations, fit=fit)
            return asdict(LinearProbe(top1(chosen.model, test), chosen.C, chosen.validation_top1, chosen.converged))

        fields = part(f"draw {draw}", made)
        probes.append(LinearProbe(**{**fields, "validation_top1": tuple(fields["validation_top1"])}))
    accuracies = np.array([probe.top1 for probe in probes])
    spread = float(accuracies.std(ddof=1)) if draws > 1 else 0.0
    return FewLabelProbe(float(accuracies.mean()), spread, tuple(probes))


def nearest_neighbour(bank: Labelled, test: Labelled) -> float:
    """Test accuracy of the label of the most similar bank image: cosine, raw features, ties to the first."""
    unit, nearest = _unit(bank.features), []
    for start in range(0, len(test), QUERIES):
        similarity = _unit(test.features[start : start + QUERIES]) @ unit.T
        nearest.append(similarity.argmax(axis=1))
    return float((bank.labels[np.concatenate(nearest)] == test.labels).mean())


def _standardised(train: Labelled, validation: Labelled, test: Labelled) -> tuple[Labelled, Labelled, Labelled]:
    return train.standardised(train), validation.standardised(train), test.standardised(train)


def _unit(features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    features = features.astype(np.float64, copy=False)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = features / np.where(length > 0, length, 1.0)
    return unit
