"""Nearest upsampling by 2 and the 3x3 convolution after it, as one convolution.

After upsampling, every 3x3 window holds only 2x2 different pixels, so taps that meet the same pixel are summed
beforehand. This gives a transposed convolution of stride 2 with a 4x4 kernel, whose rows (and columns) are w2, w1 + w2,
w0 + w1, w0 of the kernel w: 16 products instead of 36.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SUMS = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def doubled_kernel(weight: Tensor) -> Tensor:
    """The kernel (C, C', 4, 4) for `F.conv_transpose2d(x, kernel, stride=2, padding=1)` of a weight (C', C, 3, 3)."""
    sums = torch.tensor(_SUMS, dtype=weight.dtype, device=weight.device)
    return torch.einsum("ai,bj,ocij->coab", sums, sums, weight)


def upsample_then_convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The reference: x (N, C, H, W) to (N, C', 2H, 2W)."""
    return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)
