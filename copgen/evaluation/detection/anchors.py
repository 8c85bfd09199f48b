"""Anchors: boxes of fixed sizes and shapes around every position of the feature maps.

As in detectron2, and unlike torchvision's: their corners are not rounded to whole pixels, and a feature map has the
stride of its network, not the side of the image divided by its own, which differs where the image is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FixedAnchors(nn.Module):
    """Anchors of the feature maps of a network, as torchvision's RPN asks for them.

    Args:
        sizes: of each map, square roots of the areas in pixels.
        ratios: height / width, the same on all maps.
        strides: of each map, pixels.
    """

    def __init__(self, sizes: Sequence[Sequence[float]], ratios: Sequence[float], strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.cells = [torch.tensor([_centred(size, ratio) for size in own for ratio in ratios]) for own in sizes]
        assert len(self.cells) == len(self.strides), (sizes, strides)

    def num_anchors_per_location(self) -> list[int]:
        """Of each map; torchvision's RPN calls it."""
        return [len(cell) for cell in self.cells]

    def forward(self, images: Any, features: Sequence[Tensor]) -> list[Tensor]:
        """The anchors (H W A of all maps, 4) of each image.

        Args:
            images: an ImageList of torchvision.
            features: the feature maps (N, D, H, W).
        """
        found = []
        for cell, stride, features_of_map in zip(self.cells, self.strides, features, strict=True):
            height, width = features_of_map.shape[-2:]
            device = features_of_map.device
            y, x = torch.meshgrid(
                torch.arange(height, device=device) * stride, torch.arange(width, device=device) * stride, indexing="ij"
            )
            corners = torch.stack((x, y, x, y), dim=-1).view(-1, 1, 4).float()
            found.append((corners + cell.to(device)).view(-1, 4))
        anchors = torch.cat(found)
        return [anchors] * len(images.image_sizes)


def _centred(size: float, ratio: float) -> tuple[float, float, float, float]:
    width, height = size / math.sqrt(ratio), size * math.sqrt(ratio)
    return -width / 2, -height / 2, width / 2, height / 2
