"""Rotate, scale and translate a batch, with parameters per image, in one bilinear resampling.

In pixels about the image's centre, x to the right and y down, the output at p is the input at A^-1 (p - t) with
A = scale R(angle): an image is first scaled and rotated, then shifted.

Legend: N images, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AffineDraw:
    """One affine map per image, each (N,), float64."""

    angle: Tensor  # degrees, clockwise on the screen
    shift_x: Tensor  # pixels to the right, not rounded
    shift_y: Tensor  # pixels down, not rounded
    scale: Tensor  # magnification


def affine(images: Tensor, draw: AffineDraw, *, fill: float = 0.0) -> Tensor:
    """Rotate, scale and shift each image about its centre.

    Shifts are continuous, not rounded to whole pixels as in torchvision's RandomAffine: at 8x8 pixels a shift of up to
    10 % of the side would round to -1, 0 or 1.

    Args:
        images: (N, C, H, W).
        draw: the parameters, (N,) each.
        fill: the value outside the image. An output pixel that lies partly outside is a weighted mean of image and
            fill, so an image of constant value `fill` is unchanged.

    Returns:
        (N, C, H, W), differentiable in the images.
    """
    theta = _inverse_maps(draw, height=images.shape[2], width=images.shape[3]).to(images.dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill


def _inverse_maps(draw: AffineDraw, *, height: int, width: int) -> Tensor:
    """Output position to input position, (N, 2, 3), in the coordinates of `affine_grid`: each side spans [-1, 1]."""
    angle = torch.deg2rad(draw.angle)
    cos, sin = torch.cos(angle) / draw.scale, torch.sin(angle) / draw.scale
    source_x = -(cos * draw.shift_x + sin * draw.shift_y)
    source_y = sin * draw.shift_x - cos * draw.shift_y
    across = torch.stack((cos, sin * (height / width), source_x * (2 / width)), dim=1)
    down = torch.stack((-sin * (width / height), cos, source_y * (2 / height)), dim=1)
    return torch.stack((across, down), dim=1)
