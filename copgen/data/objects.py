"""Annotated objects of many images, as flat arrays.

Boxes are (x1, y1, x2, y2) in pixels of the image, whose left upper corner is at (0, 0): a box over the whole image is
(0, 0, width, height).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Objects:
    """The annotated objects of a split.

    Attributes:
        image: (G,) int64, numbers of images.
        label: (G,) int64, 0 to C - 1.
        box: (G, 4) float32.
        difficult: (G,) bool; not counted, and detections of them are not counted either.
    """

    image: Array
    label: Array
    box: Array
    difficult: Array

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: Array) -> Objects:
        """These rows, a mask or numbers."""
        return Objects(self.image[rows], self.label[rows], self.box[rows], self.difficult[rows])

    @staticmethod
    def joined(parts: list[Objects]) -> Objects:
        """Those of all parts."""
        return Objects(
            np.concatenate([part.image for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.box for part in parts]),
            np.concatenate([part.difficult for part in parts]),
        )
