"""Announce fits to convergence that take hours, before features are extracted.

They are in float64, on the CPU on one thread, so that they are the same to the bit; `eval linear` takes SGD for as many
images.

Legend: N images, D feature dimension, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from copgen.evaluation.logistic import SMALL
from copgen.runtime.events import Events
from copgen.stages.eval.opening import Opened

ITERATIONS = 100  # of a fit; from 10 for strong regularisation to thousands
# Operations a second of matrix products in float64: of one core, and of a GPU for games; those for servers have more.
SPEED = {"cpu": 1e10, "cuda": 5e11}
LONG = 1.0  # hours


def hours_of(images: int, dims: int, classes: int, *, device: str = "cpu") -> float:
    """An estimate for one fit: two products of N x D x C numbers in each iteration, on a type of device."""
    return 4.0 * images * dims * classes * ITERATIONS / SPEED[device] / 3600.0


def announce_hours(events: Events, fits: Sequence[tuple[int, int]], *, data: Opened, device: str, fix: str) -> None:
    """Warn of fits on more than `SMALL` images that take `LONG` or longer in all.

    Args:
        events: receives the warning.
        fits: N, and how often so many are fitted.
        data: the encoder and the classes.
        device: its type, where fits run.
        fix: what to do instead; one sentence.
    """
    dims, classes = data.encoder.feature_dim, len(data.classes)
    hours = sum(count * hours_of(images, dims, classes, device=device) for images, count in fits)
    most = max(images for images, _ in fits)
    if most > SMALL and hours >= LONG:
        where = "one core" if device == "cpu" else "a GPU whose float64 is slow"
        number = sum(count for _, count in fits)
        events.warn(
            f"{number:,} fits to convergence on up to {most:,} labels of {data.name} are estimated to take "
            f"{hours:,.0f} hours on {where}. {fix}"
        )
