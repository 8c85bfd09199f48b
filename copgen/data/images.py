"""Labelled datasets by name, and their images as pairs: each is its own positive, as in SimCLR."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from copgen.data import digits
from copgen.data.digits import LabelledImages, Split
from copgen.runtime.errors import unknown

DATASETS: dict[str, Callable[[Split], LabelledImages]] = {"digits": digits.load}


class ImagePairs:
    """Pairs (x, x) of images (N, C, H, W) in [-1, 1]."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.image_shape = (images.shape[1], images.shape[2], images.shape[3])
        self.inputs: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, items: Tensor, samples: range) -> tuple[Tensor, Tensor]:
        """x and x (K, C, H, W) of items (K,)."""
        x = self.images[items]
        return x, x


def load_dataset(name: str, split: Split) -> LabelledImages:
    """The images of a split.

    Raises:
        UsageError: unknown dataset.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name](split)
