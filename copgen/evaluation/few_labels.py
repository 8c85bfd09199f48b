"""Draws of a few labels of each class, and the interval of the accuracies that they give.

Draw i takes the first images of each class in a random order that depends only on (seed, i): fewer labels are a subset
of more, and all encoders get the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from copgen.runtime.errors import UsageError
from copgen.runtime.philox import permutation

Rows = npt.NDArray[np.int64]


def drawn(
    labels: Rows, *, labels_per_class: int | None = None, percent: float | None = None, seed: int, draw: int
) -> Rows:
    """The rows of the labels that are kept, class by class.

    Args:
        labels: (N,) int64 of the training images.
        labels_per_class: how many of each class.
        percent: instead, this share of each class, rounded, and at least one.
        seed, draw: which draw.

    Raises:
        UsageError: a class has fewer images.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if labels_per_class is not None and labels_per_class > counts.min():
        raise UsageError(
            f"{labels_per_class} labels per class were requested, but class {classes[counts.argmin()]} has "
            f"{counts.min()} training images.",
            fix=f"Ask for {counts.min()} labels per class or fewer.",
        )
    order = permutation(seed, len(labels), stream=f"eval/few-labels/{draw}").numpy()
    ordered = labels[order]
    rows: list[Rows] = []
    for c, count in zip(classes, counts, strict=True):
        kept = labels_per_class if percent is None else max(1, round(percent / 100 * int(count)))
        rows.append(order[ordered == c][:kept])
    return np.concatenate(rows)


def interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean of at least two draws (Student's t)."""
    from scipy.stats import t  # type: ignore[import-untyped]

    count = len(values)
    return float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5)
