"""Detections of many images as flat arrays, and their average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from copgen.data.objects import Array


@dataclass(frozen=True)
class Detections:
    """What a detector found.

    Attributes:
        image: (D,) int64, numbers of images.
        label: (D,) int64, 0 to C - 1.
        box: (D, 4) float32, as those of objects.
        score: (D,) float32, 0 to 1.
    """

    image: Array
    label: Array
    box: Array
    score: Array

    def select(self, rows: Array) -> Detections:
        """These rows, a mask or numbers."""
        return Detections(self.image[rows], self.label[rows], self.box[rows], self.score[rows])


@dataclass(frozen=True)
class AveragePrecision:
    """Average precisions as fractions, by class and IoU threshold .50, .55, ..., .95.

    Attributes:
        table: (C, 10) float64; NaN for a class without an object that counts.
    """

    table: Array

    @property
    def ap(self) -> float | None:
        """The mean over the ten thresholds of the mean over classes; None if no class has objects."""
        return self._mean(self.table)

    @property
    def ap50(self) -> float | None:
        """The mean over classes at IoU 0.5."""
        return self._mean(self.table[:, 0])

    @property
    def ap75(self) -> float | None:
        """The mean over classes at IoU 0.75."""
        return self._mean(self.table[:, 5])

    def document(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """JSON-able: the three means, and AP and AP50 of each class, None for one without objects."""
        per_class = {
            name: {"ap": self._mean(row), "ap50": self._mean(row[:1])}
            for name, row in zip(classes, self.table, strict=True)
        }
        return {"ap": self.ap, "ap50": self.ap50, "ap75": self.ap75, "per_class": per_class}

    @staticmethod
    def _mean(values: Array) -> float | None:
        known = values[~np.isnan(values)]
        return float(known.mean()) if known.size else None
