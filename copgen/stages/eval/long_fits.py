"""Announce fits to convergence that take hours, before features are extracted.

They run on one thread in float64, so that they are the same to the bit; `eval linear` takes SGD for as many images.

Legend: N images, D feature dimension, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from copgen.evaluation.logistic import SMALL
from copgen.runtime.events import Events
from copgen.stages.eval.opening import Opened

ITERATIONS = 100  # of a fit; from 10 for strong regularisation to thousands
SPEED = 1e10  # operations a second of matrix products in float64 on one core
LONG = 1.0  # hours


def hours_of(images: int, dims: int, classes: int) -> float:
    """An estimate for one fit: two products of N x D x C numbers in each iteration."""
    return 4.0 * images * dims * classes * ITERATIONS / SPEED / 3600.0


def announce_hours(events: Events, fits: Sequence[tuple[int, int]], *, data: Opened, fix: str) -> None:
    """Warn of fits on more than `SMALL` images that take `LONG` or longer in all.

    Args:
        events: receives the warning.
        fits: N, and how often so many are fitted.
        data: the encoder and the classes.
        fix: what to do instead; one sentence.
    """
    dims, classes = data.encoder.feature_dim, len(data.classes)
    hours = sum(count * hours_of(images, dims, classes) for images, count in fits)
    most = max(images for images, _ in fits)
    if most > SMALL and hours >= LONG:
        number = sum(count for _, count in fits)
        events.warn(
            f"{number:,} fits to convergence on up to {most:,} labels of {data.name} are estimated to take "
            f"{hours:,.0f} hours on one core. {fix}"
        )
