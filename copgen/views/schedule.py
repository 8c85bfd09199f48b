"""Decide whether a batch is augmented all at once or image by image; the results agree up to rounding.

A GPU and a compiler need few large operations of static shape without synchronisation. On the CPU one image stays in
the cache and a batch does not, and the drawn parameters can be read, so that steps that do not apply are skipped. For
small images the overhead per image is larger than the gain.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_PIXELS = 48 * 48
"""Images with at least this many pixels are processed one by one; a round number, not tuned."""

_PLAIN = (Tensor, torch.nn.Parameter)  # not fake tensors, which have no values


def image_by_image(images: Tensor) -> bool:
    """Whether images (N, C, H, W) are processed one by one: large ones, on the CPU, outside of compilation."""
    if torch.compiler.is_compiling() or type(images) not in _PLAIN:
        return False
    return images.device.type == "cpu" and images.shape[2] * images.shape[3] >= LEAST_PIXELS
