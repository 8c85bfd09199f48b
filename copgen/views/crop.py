"""Crop, flip and resize a batch, with a box per image, as one separable resampling.

A resize is linear in each direction, so view = R image C^T with one matrix for the rows and one for the columns of each
image; the box and the flip only change which entries of those matrices are filled. Large images on the CPU are cropped
one by one and resized by torch's own kernel, which is the same map (schedule.py).

Legend: N images, H x W pixels; o an output pixel, i an input pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.views import crop_in_cache
from copgen.views.schedule import image_by_image


@dataclass(frozen=True)
class CropDraw:
    """One box per image, each (N,)."""

    top: Tensor  # int64, first row of the box
    left: Tensor  # int64, first column of the box
    height: Tensor  # int64, rows, at least 1
    width: Tensor  # int64, columns, at least 1
    flip: Tensor  # bool, mirrored left to right


def crop(images: Tensor, draw: CropDraw, *, size: tuple[int, int], antialias: bool) -> Tensor:
    """Crop each image to its box, flip it where drawn, and resize it bilinearly; pixels outside the box do not count.

    Args:
        images: (N, C, H, W).
        draw: the boxes, inside the image.
        size: (height, width) of the views, pixels.
        antialias: widen the filter where the resize shrinks, so that every pixel of the box counts.

    Returns:
        (N, C, *size), differentiable in the images.
    """
    if image_by_image(images):
        return crop_in_cache.run(images, boxes_of(draw), size=size, antialias=antialias)
    rows = resize_matrix(draw.top, draw.height, inputs=images.shape[2], outputs=size[0], antialias=antialias)
    columns = resize_matrix(draw.left, draw.width, inputs=images.shape[3], outputs=size[1], antialias=antialias)
    columns = torch.where(draw.flip[:, None, None], columns.flip(1), columns)
    rows, columns = rows.to(images.dtype)[:, None], columns.to(images.dtype)[:, None]
    return rows @ images @ columns.mT


def boxes_of(draw: CropDraw) -> list[crop_in_cache.Box]:
    """The boxes as Python numbers."""
    sides = torch.stack((draw.top, draw.left, draw.height, draw.width), dim=1).tolist()
    return [
        crop_in_cache.Box(top, left, height, width, flip)
        for (top, left, height, width), flip in zip(sides, draw.flip.tolist(), strict=True)
    ]


def resize_matrix(start: Tensor, length: Tensor, *, inputs: int, outputs: int, antialias: bool) -> Tensor:
    """Weights that resize the pixels [start, start + length) of a line of `inputs` pixels to `outputs` pixels.

    Output o is centred on the input position (o + 1/2) length / outputs - 1/2 of the box, with a triangle filter of
    half-width 1, or length / outputs where that is larger and `antialias` is set; weights outside the box are 0 and the
    rest sums to 1. This is torch's `interpolate(mode="bilinear", align_corners=False)` of the cropped line.

    Args:
        start, length: (N,) int64, pixels; 0 <= start, 1 <= length, start + length <= inputs.

    Returns:
        (N, outputs, inputs), float64.
    """
    o = torch.arange(outputs, dtype=torch.float64, device=start.device)
    i = torch.arange(inputs, dtype=torch.float64, device=start.device)
    shrink = length.to(torch.float64)[:, None, None] / outputs
    offset = i - start[:, None, None]
    centre = (o[:, None] + 0.5) * shrink - 0.5
    half_width = shrink.clamp(min=1.0) if antialias else torch.ones_like(shrink)
    weight = (1.0 - (offset - centre).abs() / half_width).clamp(min=0.0)
    weight = weight * ((offset >= 0) & (offset < length[:, None, None]))
    return weight / weight.sum(dim=2, keepdim=True)
