"""Real images as pairs: each is its own positive, so that only T_x tells its two views apart (SimCLR's own setting)."""

from __future__ import annotations

from torch import Tensor

from copgen.data import digits
from copgen.runtime.errors import unknown

DATASETS = {"digits": digits.load}


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


def open_images(dataset: str) -> ImagePairs:
    """The training split of a dataset.

    Raises:
        UsageError: no such dataset.
    """
    if dataset not in DATASETS:
        raise unknown("dataset", dataset, DATASETS)
    return ImagePairs(DATASETS[dataset]("train").images)
