"""The protocol of a feature space: images to vectors whose distances say how alike images look.

Legend: N images, C channels (1 or 3), D dimension.
"""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor
from torch.nn import functional as F

from copgen.data.batches import in_colours

BLOCK = 64  # images that a network sees at once: bounds its memory whatever the caller's batch


class FeatureSpace(Protocol):
    """Frozen features of images.

    Attributes:
        name: as it was asked for, such as 'efficientnet-lite0' or 'encoder:runs/pretrain'.
        text: one line for tables; says which network, trained on what, and where its weights come from.
        dim: D.
        inputs: sha256 of the weights by the name of their file, for `results.json`.
    """

    @property
    def name(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def inputs(self) -> dict[str, str]: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D), float32, on the device of the space, of images (N, 1 or 3, H, W) in [-1, 1] of any size."""


class ClassifyingSpace(FeatureSpace, Protocol):
    """A space whose network also predicts classes, from the features alone."""

    def logits(self, features: Tensor) -> Tensor:
        """(N, classes) float32 of features (N, D)."""


def prepared(images: Tensor, *, size: int, channels: int, mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Images (N, channels, size, size) in [-1, 1]: resized with anti-aliasing, grey repeated or colours as luminance.

    Args:
        images: (N, 1 or 3, H, W) in [-1, 1].
        size: side in pixels; other shapes than squares are stretched.
        channels: 1 or 3.
        mode: of the interpolation.
    """
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode=mode, antialias=True, align_corners=False).clamp(-1, 1)
    return in_colours(images, channels)
