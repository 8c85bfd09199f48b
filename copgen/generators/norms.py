"""Batch normalisation in evaluation mode, folded to x * scale + shift per channel.

A conditional norm is (x - mean) / sqrt(var + eps) * (1 + gain(c)) + bias(c) with gain and bias linear in the condition
c. Scale and shift are linear in c too: scale = r + r (W_gain c), shift = W_bias c - mean * scale, where
r = 1 / sqrt(var + eps). So one linear layer computes both, and the image is read and written once.

Legend: N images, C channels, D width of the condition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


class ConditionalNorm(nn.Module):
    """x (N, C, H, W) and condition (N, D) to x (N, C, H, W).

    Args:
        gain: W_gain (C, D), float64.
        bias: W_bias (C, D), float64.
        mean: stored mean (C,).
        var: stored variance (C,).
        eps: added to the variance.
        dtype: of the folded linear layer.
    """

    def __init__(
        self, gain: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, eps: float, dtype: torch.dtype
    ) -> None:
        super().__init__()
        mean, r = mean.double(), (var.double() + eps).rsqrt()
        channels, width = gain.shape
        scale = r[:, None] * gain
        weight = torch.cat((scale, bias - mean[:, None] * scale)).to(dtype)
        offset = torch.cat((r, -mean * r)).to(dtype)
        self.modulation = nn.Linear(width, 2 * channels, device="meta")
        self.modulation.weight = nn.Parameter(weight, requires_grad=False)
        self.modulation.bias = nn.Parameter(offset, requires_grad=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return _modulated(x, scale, shift)


class AffineNorm(nn.Module):
    """x (N, C, H, W) to (x - mean) / sqrt(var + eps) * gain + bias, all (C,)."""

    scale: Tensor
    shift: Tensor

    def __init__(
        self, gain: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, eps: float, dtype: torch.dtype
    ) -> None:
        super().__init__()
        scale = gain.double() * (var.double() + eps).rsqrt()
        shift = bias.double() - mean.double() * scale
        self.register_buffer("scale", scale[None, :, None, None].to(dtype))
        self.register_buffer("shift", shift[None, :, None, None].to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return _modulated(x, self.scale, self.shift)
