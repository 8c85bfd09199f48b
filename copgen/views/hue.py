"""Rotate the hue of a batch: RGB to hue, value and chroma, and back, with finite gradients everywhere.

With value V (the largest channel), chroma c (largest minus smallest) and hue h in sextants of the colour circle, the
channel with offset n (red 5, green 3, blue 1) is V - c min(max(min(k, 4 - k), 0), 1), where k = (n + h) mod 6.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue of every pixel; value and chroma are unchanged.

    A grey pixel has no hue and is unchanged; its gradient is split evenly over the three channels.

    Args:
        images: (N, 3, H, W) in [0, 1].
        turns: (N,), turns of the colour circle, in [-1/2, 1/2].

    Returns:
        (N, 3, H, W) in [0, 1], differentiable in the images.
    """
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    # Below the rounding of 1 a pixel counts as grey: nothing visible is lost, and no division can overflow.
    divisor = torch.where(chroma > torch.finfo(images.dtype).eps, chroma, torch.ones_like(chroma))
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2.0 + (blue - red) / divisor, 4.0 + (red - green) / divisor),
    )
    turned = hue + 6.0 * turns.to(images.dtype)[:, None, None]
    offsets = torch.arange(5, 0, -2, dtype=images.dtype, device=images.device)
    k = torch.remainder(turned[:, None] + offsets[:, None, None], 6.0)
    drop = torch.minimum(k, 4.0 - k).clamp(0.0, 1.0)
    return value[:, None] - chroma[:, None] * drop
