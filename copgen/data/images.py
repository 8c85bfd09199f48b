"""Labelled images in memory, as a source: each image is its own positive, as in SimCLR."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from copgen.data import digits
from copgen.data.digits import LabelledImages, Split
from copgen.runtime.errors import unknown

DATASETS: dict[str, Callable[[Split], LabelledImages]] = {"digits": digits.load}


class ImagesInMemory:
    """Images (N, C, H, W) in [-1, 1] with labels (N,), as `DecodedImages`."""

    def __init__(self, data: LabelledImages, *, classes: tuple[str, ...] = ()) -> None:
        self.images = data.images
        self.labels: Tensor | None = data.labels
        self.classes = classes
        self.channels = data.images.shape[1]
        self.size: tuple[int, int] | None = (data.images.shape[2], data.images.shape[3])
        self.inputs: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.images)

    def columns(self, samples: range, views: int) -> Tensor:
        """All views show the one image."""
        return torch.zeros(len(samples), views, dtype=torch.int64)

    def batch(self, items: Tensor, columns: Tensor, device: torch.device) -> Tensor:
        """The images of items (K,)."""
        return self.images[items].to(device)


def load_dataset(name: str, split: Split) -> LabelledImages:
    """The images of a split.

    Raises:
        UsageError: unknown dataset.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name](split)
