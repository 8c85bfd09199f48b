"""The elementwise and reshaping steps between residual blocks: logit, activation normalisation, squeeze.

Each maps x -> (y, log |det dy/dx| per item) and back; all are differentiable both ways.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Logit(nn.Module):
    """y = logit(alpha + (1 - 2 alpha) x), from pixels in [0, 1] to the real line; no parameters."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = self.alpha + (1.0 - 2.0 * self.alpha) * x
        y = torch.log(s) - torch.log1p(-s)
        # ds/dx = 1 - 2 alpha and dy/ds = 1 / (s (1 - s)).
        log_slope = math.log(1.0 - 2.0 * self.alpha) - torch.log(s) - torch.log1p(-s)
        return y, log_slope.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        # PyTorch's sigmoid rounds the tail of a thread's chunk differently from the rest; its tanh does not.
        return (0.5 + 0.5 * torch.tanh(0.5 * y) - self.alpha) / (1.0 - 2.0 * self.alpha)


class ActNorm(nn.Module):
    """y = (x + bias) * exp(weight) per channel (N, C, ...), initialised to standardise the first batch.

    Source: Glow (Kingma and Dhariwal 2018).
    """

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialized", torch.tensor(0, dtype=torch.int64))

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Set bias and weight from the statistics of a first batch."""
        per_channel = x.transpose(0, 1).flatten(1)
        self.bias.copy_(-per_channel.mean(1))
        self.weight.copy_(-torch.log(per_channel.std(1).clamp_min(0.05)))
        self.initialized.fill_(1)

    def _shaped(self, parameter: Tensor, x: Tensor) -> Tensor:
        return parameter.view(1, -1, *[1] * (x.dim() - 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.training and not bool(self.initialized):
            self.start_from(x)
        y = (x + self._shaped(self.bias, x)) * torch.exp(self._shaped(self.weight, x))
        pixels = math.prod(x.shape[2:])
        return y, (self.weight.sum() * pixels).expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        return y * torch.exp(-self._shaped(self.weight, y)) - self._shaped(self.bias, y)


class Squeeze(nn.Module):
    """Space to depth, (N, C, H, W) -> (N, 4 C, H / 2, W / 2), channel-major; no parameters."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        return F.pixel_shuffle(y, 2)


class Flatten(nn.Module):
    """(N, C, H, W) -> (N, C H W); no parameters."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        return y.reshape(-1, *self.shape)
