"""Which way a batch goes: all images in every step, or image by image; the results agree up to rounding.

A device wants few large steps of static shape and nothing read back, and so does a compiler. A processor wants what it
works on to stay in its cache, which one image does and a batch does not; it can read what was drawn, and so leave out
what does not happen. Small images are dearer to take one by one than to take together.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_PIXELS = 48 * 48
"""From here on an image is worth its own calls; a round number, not tuned."""

_PLAIN = (Tensor, torch.nn.Parameter)  # not the fake tensors of plans and compilers, which have no values


def image_by_image(images: Tensor) -> bool:
    """Whether images (N, C, H, W) are taken one by one: large ones, on the CPU, not while being compiled."""
    if torch.compiler.is_compiling() or type(images) not in _PLAIN:
        return False
    return images.device.type == "cpu" and images.shape[2] * images.shape[3] >= LEAST_PIXELS
