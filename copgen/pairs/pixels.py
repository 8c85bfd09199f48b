"""Conversion between images in [-1, 1] and uint8 pixels.

copgen writes `nearest`. `truncate256` is the rule of the authors' sampling scripts, to reproduce their datasets; the
two differ by at most one grey level. `from_uint8` followed by either gives the same bytes.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from copgen.pairs.plan import Rounding
from copgen.runtime.errors import DataError, unknown


def to_uint8(images: Tensor, *, rounding: Rounding = "nearest") -> Tensor:
    """uint8 pixels of images, on the same device and of the same shape; computed in float32.

    Args:
        images: any shape, floating point, in [-1, 1]; values outside are clipped.
        rounding: `nearest` is round((x + 1) / 2 * 255) with halves to even; `truncate256` is the integer part of
            clip((x + 1) / 2 * 256, 0, 255).

    Raises:
        DataError: a value is NaN or infinite.
        UsageError: unknown rule.
    """
    if rounding not in get_args(Rounding):
        raise unknown("pixel rounding", rounding, get_args(Rounding))
    if not bool(torch.isfinite(images).all()):
        raise DataError(
            f"{int((~torch.isfinite(images)).sum())} of {images.numel()} pixel values are not finite.",
            fix="Check the weights of the generator and the navigator.",
        )
    return levels(images, rounding=rounding)


def levels(images: Tensor, *, rounding: Rounding) -> Tensor:
    """`to_uint8` of images known to be finite, or whose finiteness is read later: nothing waits for the device."""
    unit = (images.float() + 1.0) / 2.0
    exact = (unit * 255.0).round() if rounding == "nearest" else unit * 256.0
    return exact.clamp(0.0, 255.0).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """float32 images in [-1, 1] from uint8 pixels of any shape: k / 255 * 2 - 1."""
    return images.float() / 255.0 * 2.0 - 1.0
