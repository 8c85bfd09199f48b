"""Layers whose Lipschitz constant is at most `coeff`, which makes a residual block invertible.

Spectral normalisation with stored vectors u, v (Miyato et al. 2018; Residual Flows, Chen et al. 2019, appendix):
sigma = u . (W v), and the weight in use is W / max(1, sigma / coeff). The vectors are buffers, refined by power
iteration in training and fixed in evaluation, so a checkpoint gives the same weight on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LIPSWISH_SLOPE = 1.1  # an upper bound on the slope of x sigmoid(b x), for every b


def _unit(vector: Tensor) -> Tensor:
    unit: Tensor = vector / vector.norm().clamp_min(1e-12)
    return unit


class Folding(nn.Module):
    """A module with `folded`, computed from its weights and reset to None when these are loaded or trained."""

    folded: Any

    def _load_from_state_dict(self, *args: Any, **keywords: Any) -> None:
        self.folded = None
        super()._load_from_state_dict(*args, **keywords)

    def train(self, mode: bool = True) -> Self:
        if mode:
            self.folded = None
        return super().train(mode)


class SpectralBound(Folding):
    """A linear operator W with stored estimates of its leading singular vectors u (output side) and v (input side)."""

    weight: Tensor
    bias: Tensor | None
    u: Tensor
    v: Tensor
    folded: Tensor | None

    def __init__(self, coeff: float) -> None:
        super().__init__()
        self.coeff = coeff
        # A buffer, so that it follows the module to another device or dtype; not part of the state dict.
        self.register_buffer("folded", None, persistent=False)

    @property
    def operator(self) -> Callable[..., Tensor]:
        """(x, weight, bias) -> the output of the layer."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.operator(x, self.bounded_weight(), self.bias)
        return result

    def apply_weight(self, weight: Tensor, v: Tensor) -> Tensor:
        """W v, flat."""
        raise NotImplementedError

    def apply_transposed(self, weight: Tensor, u: Tensor) -> Tensor:
        """W^T u, flat."""
        raise NotImplementedError

    @torch.no_grad()
    def power_iterate(self, rounds: int) -> None:
        """Refine u and v in place."""
        u, v = self.u, self.v
        for _ in range(rounds):
            u = _unit(self.apply_weight(self.weight, v))
            v = _unit(self.apply_transposed(self.weight, u))
        self.u.copy_(u)
        self.v.copy_(v)

    def sigma(self) -> Tensor:
        """The estimated spectral norm u . (W v), a scalar that is differentiable in the weight."""
        return torch.dot(self.u, self.apply_weight(self.weight, self.v))

    def bounded_weight(self) -> Tensor:
        """The weight in use, with spectral norm at most `coeff` (as far as u and v have converged)."""
        if self.folded is not None:
            return self.folded
        return self.weight / torch.clamp_min(self.sigma() / self.coeff, 1.0)

    def fold(self, *, rounded: bool = False) -> None:
        """Fix the weight in use, for inference: sigma is computed once and not at every call.

        `rounded` divides by a float32 factor whatever the dtype of the weight, as the published code does.
        """
        self.folded = None
        factor = torch.clamp_min(self.sigma() / self.coeff, 1.0)
        factor = factor.float().to(factor.dtype) if rounded else factor
        self.folded = (self.weight / factor).detach()


class LipschitzLinear(SpectralBound):
    """x (..., in_features) -> (..., out_features) with spectral norm at most `coeff`."""

    def __init__(self, in_features: int, out_features: int, *, coeff: float) -> None:
        super().__init__(coeff)
        linear = nn.Linear(in_features, out_features)
        nn.init.orthogonal_(linear.weight)
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("u", _unit(torch.randn(out_features)))
        self.register_buffer("v", _unit(torch.randn(in_features)))

    def apply_weight(self, weight: Tensor, v: Tensor) -> Tensor:
        return weight @ v

    def apply_transposed(self, weight: Tensor, u: Tensor) -> Tensor:
        return weight.t() @ u

    @property
    def operator(self) -> Callable[..., Tensor]:
        return F.linear


class LipschitzConv2d(SpectralBound):
    """x (N, in_channels, H, W) -> (N, out_channels, H, W), zero-padded, with operator norm at most `coeff`.

    The norm is that of the convolution on images of `size` pixels a side, so u and v have one entry per output and
    input pixel; a 1x1 convolution acts on every pixel alike, and its vectors have one entry per channel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, size: int, coeff: float) -> None:
        super().__init__(coeff)
        conv = nn.Conv2d(in_channels, out_channels, kernel)
        if kernel == 1:
            nn.init.orthogonal_(conv.weight)
        self.weight, self.bias = conv.weight, conv.bias
        self.padding = kernel // 2
        self.vector_size = 1 if kernel == 1 else size
        pixels = self.vector_size**2
        self.register_buffer("u", _unit(torch.randn(out_channels * pixels)))
        self.register_buffer("v", _unit(torch.randn(in_channels * pixels)))

    def apply_weight(self, weight: Tensor, v: Tensor) -> Tensor:
        image = v.view(1, -1, self.vector_size, self.vector_size)
        return F.conv2d(image, weight, padding=self.padding).reshape(-1)

    def apply_transposed(self, weight: Tensor, u: Tensor) -> Tensor:
        image = u.view(1, -1, self.vector_size, self.vector_size)
        return F.conv_transpose2d(image, weight, padding=self.padding).reshape(-1)

    @property
    def operator(self) -> Callable[..., Tensor]:
        return partial(F.conv2d, padding=self.padding)


class LipSwish(nn.Module):
    """x * sigmoid(softplus(beta) x) / 1.1, whose slope is at most 1 (Chen et al. 2019); beta (1,) is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * F.softplus(self.beta)) / LIPSWISH_SLOPE
