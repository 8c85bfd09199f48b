"""The features of a region: RoIAlign with aligned corners (`ROIAlignV2` of detectron2), on one map or a pyramid.

torchvision's detectors use RoIAlign without the shift by half a pixel. The number of samples in each cell adapts to the
size of the region.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

CANONICAL, CANONICAL_STRIDE = 224.0, 16  # a region of this size is pooled from the map with this stride (FPN, eq. 1)


class AlignedPooler(nn.Module):
    """Features (R, D, S, S) of R regions.

    Args:
        names: of the feature maps, from the largest to the smallest.
        strides: of these maps, pixels; powers of 2.
        side: S.
    """

    def __init__(self, names: Sequence[str], strides: Sequence[int], *, side: int) -> None:
        super().__init__()
        self.names, self.strides, self.side = tuple(names), tuple(strides), side

    def forward(self, features: Mapping[str, Tensor], boxes: list[Tensor], _sizes: object = None) -> Tensor:
        """Features of the regions `boxes`, (R_n, 4) for image n, in their order."""
        if len(self.names) == 1:
            return self._pooled(features[self.names[0]], boxes, self.strides[0])
        images = torch.cat([own.new_full((len(own), 1), number) for number, own in enumerate(boxes)])
        regions = torch.cat((images, torch.cat(boxes)), dim=1)
        level = self.levels(regions[:, 1:])
        first = features[self.names[0]]
        found = first.new_zeros((len(regions), first.shape[1], self.side, self.side))
        for number, (name, stride) in enumerate(zip(self.names, self.strides, strict=True)):
            rows = (level == number).nonzero()[:, 0]
            found[rows] = self._pooled(features[name], regions[rows], stride).to(found.dtype)
        return found

    def levels(self, boxes: Tensor) -> Tensor:
        """The number (R,) of the map that each region (R, 4) is pooled from."""
        size = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).clamp(min=0).sqrt()
        level = torch.floor(math.log2(CANONICAL_STRIDE) + torch.log2(size / CANONICAL + 1e-8))
        lowest = math.log2(self.strides[0])
        return (level - lowest).clamp(0, len(self.strides) - 1).long()

    def _pooled(self, features: Tensor, boxes: Tensor | list[Tensor], stride: int) -> Tensor:
        pooled: Tensor = roi_align(features, boxes, self.side, 1.0 / stride, sampling_ratio=0, aligned=True)
        return pooled
