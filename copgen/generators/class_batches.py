"""Batches of few classes with several images each, so that each image has positives of its class (appendix E).

Batch b holds the first `classes` of a random order of all classes that (seed, b) draws, and its row i the class number
i modulo `classes` of them. So the class of row k of a run is a function of (seed, k) and of the batch's size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.runtime import philox
from copgen.runtime.errors import UsageError


def draw_classes(indices: range, *, batch: int, classes: int, count: int, seed: int, device: torch.device) -> Tensor:
    """Class numbers below `count`, int64 (N,), of consecutive rows of a run.

    Args:
        indices: the rows' numbers.
        batch: batch size, a multiple of `classes`.
        classes: number of different classes in a batch, at most `count`.
        count: number of classes of the generator.
    """
    batches = range(indices.start // batch, (indices.stop - 1) // batch + 1)
    words = philox.bits(seed, batches, count, stream="conditions/batches", device=device)
    order = torch.argsort(words, dim=1, stable=True)[:, :classes]
    rows = philox.as_rows(indices, device)
    return order[rows // batch - batches.start, rows % batch % classes]


def check_classes(*, batch: int, classes: int, count: int, name: str) -> None:
    """Refuse a batch of more classes than generator `name` has.

    Raises:
        UsageError: too many classes; the remedy names the largest batch with as many images of each class.
    """
    if count == 0:
        raise UsageError(
            f"Objective 'sup_con' needs classes, and the generator '{name}' has none.",
            fix="Use objective 'info_nce', or a class-conditional generator such as biggan-deep-128.",
        )
    if classes > count:
        raise UsageError(
            f"A batch of {batch:,} holds {classes:,} classes, and '{name}' has {count:,}.",
            fix=f"Lower --batch to {batch // classes * count:,} or less, or --classes to {count:,} or less.",
        )
