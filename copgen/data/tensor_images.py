"""Images that fit into memory as tensors: the source of digits, MNIST and CIFAR-10."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.pairs.pixels import from_uint8


class TensorImages:
    """Images (N, C, H, W) by item number.

    Args:
        images: uint8, or floating point in [-1, 1].
        labels: (N,) int64, or None without classes.
        classes: their names.
        inputs: hashes of the files.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None, *, classes: tuple[str, ...], inputs: dict[str, str]
    ) -> None:
        self.images = images
        self.labels = labels
        self.classes = classes
        self.inputs = inputs
        self.channels: int = images.shape[1]
        self.size: tuple[int, int] | None = (images.shape[2], images.shape[3])

    def __len__(self) -> int:
        return len(self.images)

    def columns(self, samples: range, views: int) -> Tensor:
        """(K, views) zeros: every item is one image."""
        return torch.zeros(len(samples), views, dtype=torch.int64)

    def batch(self, items: Tensor, columns: Tensor, device: torch.device) -> Tensor:
        """(K, C, H, W) float32 in [-1, 1] of items (K,), on the device."""
        images = self.images[items].to(device)
        return from_uint8(images) if images.dtype == torch.uint8 else images.float()

    def select(self, rows: Tensor) -> TensorImages:
        """The source of these items alone."""
        labels = None if self.labels is None else self.labels[rows]
        return TensorImages(self.images[rows], labels, classes=self.classes, inputs=self.inputs)
