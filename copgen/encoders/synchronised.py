"""Batch normalisation over the batches of several processes, differentiable and on any device.

torch's `SyncBatchNorm` supports CUDA only, and waits for the device in every layer, as it allows ranks without rows.
Here every rank has equally many rows, so the mean over all rows is the mean of the ranks' means, and the variance is

    var = mean over ranks of (var_r + (mean_r - mean)^2).

The backward pass needs two sums over all rows, of dy and of dy xhat:

    dx = gamma / sqrt(var + eps) * (dy - mean(dy) - xhat mean(dy xhat)).

The gradients of gamma and beta are those of a rank's own rows; they are averaged together with all other gradients.

Legend: N rows, C channels, x (N, C, H, W) or, in heads, (N, C); xhat the normalised x.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup


def synchronise(f: nn.Module, group: ProcessGroup | None) -> nn.Module:
    """Convert f's batch norms to statistics over all ranks, same parameters and names; f itself if `group` is None."""
    if group is None:
        return f
    for name, module in list(f.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            parent, _, own = name.rpartition(".")
            f.get_submodule(parent).register_module(own, SynchronisedBatchNorm(module, group))
    return f


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """A batch norm with the statistics of all ranks' rows in training; it takes over the parameters of `norm`."""

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, group: ProcessGroup) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.group = group

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.dim() in (2, 4), input.shape

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        y, mean, var = _Normalise.apply(x, self.weight, self.bias, self.eps, self.group)
        with torch.no_grad():
            rows = x.numel() // x.shape[1] * dist.get_world_size(self.group)
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((var * (rows / (rows - 1))).to(self.running_var.dtype), self.momentum)
        return cast("Tensor", y)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: ProcessGroup
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = x if x.dtype in (torch.float32, torch.float64) else x.float()
        own_var, own_mean = torch.var_mean(exact, dim=_all_but_channels(x), correction=0)
        mean = _mean(own_mean, group)
        var = _mean(own_var + (own_mean - mean).square(), group)
        scale = (var + eps).rsqrt()
        shift = bias - mean * scale * weight
        y = torch.addcmul(_along(shift, x), exact, _along(scale * weight, x)).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.group = group
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        exact, slope = x.to(mean.dtype), dy.to(mean.dtype)
        xhat = (exact - _along(mean, x)) * _along(scale, x)
        dims = _all_but_channels(x)
        sums = torch.stack((slope.sum(dims), (slope * xhat).sum(dims)))
        dx = None
        if ctx.needs_input_grad[0]:
            rows = x.numel() // x.shape[1]
            of_dy, of_product = (_along(mean_dy, x) for mean_dy in _mean(sums, ctx.group) / rows)
            dx = ((slope - of_dy - xhat * of_product) * _along(scale * weight, x)).to(x.dtype)
        return dx, sums[1], sums[0], None, None


def _all_but_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _along(of_channels: Tensor, x: Tensor) -> Tensor:
    """(C,) in a shape that broadcasts over x."""
    return of_channels.view(-1, *[1] * (x.dim() - 2))


def _mean(own: Tensor, group: ProcessGroup) -> Tensor:
    total = own.clone()
    dist.all_reduce(total, group=group)
    return total / dist.get_world_size(group)
