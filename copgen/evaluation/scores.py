"""Scores of a classifier: Top-1, Top-5, accuracy of each class, and the confusion matrix.

Legend: N images, R ranked classes of each, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

RANKED = 5


@dataclass(frozen=True)
class Scores:
    """Accuracies as fractions in 0..1.

    Attributes:
        top1: the most likely class is the label.
        top5: the label is among the five most likely classes; None if there are no more than five.
        per_class: Top-1 of the images of each class; None for a class without images.
        confusion: (C, C) int64, images of class i that are taken for class j.
    """

    top1: float
    top5: float | None
    per_class: tuple[float | None, ...]
    confusion: Tensor

    def document(self, classes: Sequence[str]) -> dict[str, Any]:
        """JSON-able, by names of classes; of the confusion matrix the entries that are not zero."""
        rows = {}
        for number, name in enumerate(classes):
            row = self.confusion[number]
            rows[name] = {classes[j]: int(row[j]) for j in row.nonzero()[:, 0].tolist()}
        return {
            "top1": self.top1,
            "top5": self.top5,
            "per_class": dict(zip(classes, self.per_class, strict=True)),
            "confusion": rows,
        }


def scores(ranked: Tensor, labels: Tensor, *, classes: int) -> Scores:
    """Score predictions.

    Args:
        ranked: (N, R) int64, the classes of each image from the most likely on; R is at least min(5, C).
        labels: (N,) int64, 0 to C - 1.
        classes: C.
    """
    right = ranked == labels[:, None]
    confusion = torch.bincount(labels * classes + ranked[:, 0], minlength=classes**2).view(classes, classes)
    images, kept = confusion.sum(dim=1).tolist(), confusion.diagonal().tolist()
    return Scores(
        top1=float(right[:, 0].double().mean()),
        top5=float(right[:, :RANKED].any(dim=1).double().mean()) if classes > RANKED else None,
        per_class=tuple(one / of if of else None for one, of in zip(kept, images, strict=True)),
        confusion=confusion,
    )
