"""Spectral norm folded into the weights once, at load: W / sigma, with sigma as the reference networks compute it.

They estimate the spectral norm from stored vectors, so those vectors belong to the weights:

* BigGAN, BigBiGAN, IC-GAN: one power step from the stored u at every call, v = |u W|, u' = |v W^T|, sigma = v W^T u'^T,
  where |x| = x / max(||x||, eps) (Miyato et al. 2018). Evaluation does not update u, so sigma is a constant.
* BigGAN-deep: sigma = u^T W v with both vectors stored.

Sigma is computed in float64, a few rows at a time, so the peak memory is that of the file and the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from copgen.generators.doubling import doubled_kernel

Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_CHUNK = 1 << 20  # entries converted to float64 at a time, 8 MiB


def _rows(weight: Tensor) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, weight[0].numel()))
    for start in range(0, weight.shape[0], step):
        yield slice(start, start + step)


def left_product(u: Tensor, weight: Tensor) -> Tensor:
    """u W, float64, for u (out,) and W (out, ...) reshaped to a matrix."""
    total = torch.zeros(weight[0].numel(), dtype=torch.float64)
    for rows in _rows(weight):
        total += u[rows].double() @ weight[rows].flatten(1).double()
    return total


def right_product(weight: Tensor, v: Tensor) -> Tensor:
    """W v, float64, for W (out, ...) reshaped to a matrix and v of the length of its rows."""
    return torch.cat([weight[rows].flatten(1).double() @ v.double() for rows in _rows(weight)])


def power_step_sigma(weight: Tensor, u: Tensor, *, eps: float) -> float:
    """Sigma after one power step from u, with norms clamped at eps."""
    v = left_product(u.flatten(), weight)
    v = v / v.norm().clamp_min(eps)
    moved = right_product(weight, v)
    return float(moved @ (moved / moved.norm().clamp_min(eps)))


def stored_sigma(weight: Tensor, u: Tensor, v: Tensor) -> float:
    """u^T W v."""
    return float(u.double() @ right_product(weight, v))


class FoldedWeights(ABC):
    """The frozen layers of a checkpoint: weights divided by sigma, in the requested dtype."""

    def __init__(self, tensors: Mapping[str, Tensor], *, dtype: torch.dtype, channels_last: bool) -> None:
        self.tensors = tensors
        self.dtype = dtype  # of convolutions and activations
        self.exact = torch.float64 if dtype == torch.float64 else torch.float32  # of small tensors
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    @abstractmethod
    def raw(self, name: str) -> Tensor:
        """The weight of a layer before division by sigma."""

    @abstractmethod
    def sigma(self, name: str) -> float:
        """The sigma of a layer."""

    def matrix(self, name: str) -> Tensor:
        """The folded weight of a small linear layer, float64."""
        return self.raw(name).double() / self.sigma(name)

    def small(self, name: str) -> Tensor:
        """A copy of a tensor without spectral norm, in the exact dtype."""
        return self.tensors[name].to(self.exact, copy=True)

    def divided(self, name: str, *, outputs: int | None = None) -> Tensor:
        """The folded weight of a layer (its first `outputs` rows, None: all), converted a few rows at a time."""
        weight, sigma = self.raw(name), self.sigma(name)
        shape = (outputs or weight.shape[0], *weight.shape[1:])
        layout: dict[str, Any] = {"memory_format": self.memory_format} if weight.dim() == 4 else {}
        folded = torch.empty(shape, dtype=self.dtype, **layout)
        for rows in _rows(folded):
            folded[rows] = weight[: shape[0]][rows].double() / sigma
        return folded

    def bias(self, name: str, *, outputs: int | None = None) -> Tensor | None:
        """The bias of a layer, or None."""
        bias = self.tensors.get(f"{name}.bias")
        return None if bias is None else bias[:outputs].to(self.dtype, copy=True)

    def conv(self, name: str, *, outputs: int | None = None) -> nn.Conv2d:
        """A convolution that keeps the image's size, frozen."""
        weight = self.divided(name, outputs=outputs)
        out, into, kernel, _ = weight.shape
        bias = self.bias(name, outputs=outputs)
        conv = nn.Conv2d(into, out, kernel, padding=kernel // 2, bias=bias is not None, device="meta")
        return _frozen(conv, weight, bias)

    def doubling_conv(self, name: str) -> nn.ConvTranspose2d:
        """Nearest upsampling by 2 and the 3x3 convolution after it, frozen."""
        weight, sigma, bias = self.raw(name), self.sigma(name), self.bias(name)
        out, into, _, _ = weight.shape
        kernel = torch.empty((into, out, 4, 4), dtype=self.dtype, memory_format=self.memory_format)
        for rows in _rows(weight):
            kernel[:, rows] = doubled_kernel(weight[rows].double() / sigma)
        conv = nn.ConvTranspose2d(into, out, 4, stride=2, padding=1, bias=bias is not None, device="meta")
        return _frozen(conv, kernel, bias)

    def linear(self, name: str) -> nn.Linear:
        """A linear layer, frozen."""
        weight, bias = self.divided(name), self.bias(name)
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        return _frozen(linear, weight, bias)


class PowerStepWeights(FoldedWeights):
    """Layers `name.weight` with `name.u0`: one power step."""

    def __init__(
        self, tensors: Mapping[str, Tensor], *, eps: float, dtype: torch.dtype, channels_last: bool = False
    ) -> None:
        super().__init__(tensors, dtype=dtype, channels_last=channels_last)
        self.eps = eps

    def raw(self, name: str) -> Tensor:
        return self.tensors[f"{name}.weight"]

    def sigma(self, name: str) -> float:
        return power_step_sigma(self.raw(name), self.tensors[f"{name}.u0"], eps=self.eps)


class StoredVectorWeights(FoldedWeights):
    """Layers `name.weight_orig` with `name.weight_u` and `name.weight_v`."""

    def raw(self, name: str) -> Tensor:
        return self.tensors[f"{name}.weight_orig"]

    def sigma(self, name: str) -> float:
        return stored_sigma(self.raw(name), self.tensors[f"{name}.weight_u"], self.tensors[f"{name}.weight_v"])


def _frozen(layer: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
