"""Crops of large images on the CPU: each image is cropped and resized by torch's own kernels, forward and backward.

Torch's kernels read only the few pixels that contribute to an output pixel, while a matrix product reads a whole line.
They take one box per call, so each image has its own call. crop.py is the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Box(NamedTuple):
    """One image's box in pixels, and whether it is mirrored left to right."""

    top: int
    left: int
    height: int
    width: int
    flip: bool

    def of(self, image: Tensor) -> Tensor:
        """The box cut out of an image (C, H, W), as a batch of one."""
        return image[None, :, self.top : self.top + self.height, self.left : self.left + self.width]


def run(images: Tensor, boxes: Sequence[Box], *, size: tuple[int, int], antialias: bool) -> Tensor:
    """Crop, resize and mirror each image by its box.

    Args:
        images: (N, C, H, W) on the CPU.

    Returns:
        (N, C, *size), differentiable once in the images.
    """
    views: Tensor = _Crops.apply(images, boxes, size, antialias)
    return views


def view_of(box: Box, image: Tensor, *, size: tuple[int, int], antialias: bool) -> Tensor:
    """One image (C, H, W) cropped, resized and mirrored to (C, *size)."""
    return _mirrored(_resized(box, image, size, antialias)[0], box)


class _Crops(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, boxes: Sequence[Box], size: tuple[int, int], antialias: bool) -> Tensor:
        views = images.new_empty((*images.shape[:2], *size))
        for image, view, box in zip(images, views, boxes, strict=True):
            view.copy_(view_of(box, image, size=size, antialias=antialias))
        return views

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Sequence[Box], tuple[int, int], bool], output: Tensor) -> None:
        images, ctx.boxes, ctx.size, ctx.antialias = inputs
        ctx.shape = images.shape

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        back = gradient.new_zeros(ctx.shape)
        for image, g, box in zip(back, gradient, ctx.boxes, strict=True):
            g = _mirrored(g, box)[None].contiguous()
            shape = (1, len(image), box.height, box.width)
            box.of(image).copy_(_resize_back(box, ctx.size, ctx.antialias)(g, ctx.size, shape, False))
        return back, None, None, None


def _widened(box: Box, size: tuple[int, int], antialias: bool) -> bool:
    """Whether antialiasing has an effect: only where the resize shrinks. Elsewhere the plain kernels are faster."""
    return antialias and (box.height > size[0] or box.width > size[1])


def _resized(box: Box, image: Tensor, size: tuple[int, int], antialias: bool) -> Tensor:
    widened = _widened(box, size, antialias)
    return F.interpolate(box.of(image), size, mode="bilinear", align_corners=False, antialias=widened)


def _resize_back(box: Box, size: tuple[int, int], antialias: bool) -> Any:
    aten = torch.ops.aten
    return (
        aten._upsample_bilinear2d_aa_backward if _widened(box, size, antialias) else aten.upsample_bilinear2d_backward
    )


def _mirrored(image: Tensor, box: Box) -> Tensor:
    return image.flip(2) if box.flip else image
