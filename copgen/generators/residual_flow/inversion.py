"""The inverse of a residual block y = x + g(x), by fixed-point iteration, differentiated implicitly.

Forward: x <- y - g(x), from x = y. Every item of the batch stops at its own time and is then frozen, so what an item
becomes does not depend on its neighbours. Backward: the gradient c with respect to x becomes w = (I + J_g^T)^-1 c with
respect to y, by the same kind of iteration w <- c - J_g^T w; no iterate is stored, so memory does not grow with the
number of iterations. Both converge because g is a contraction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from copgen.runtime.errors import DataError


@dataclass(frozen=True)
class FixedPoint:
    """When to stop: an item is done once max |step| <= tolerance * (1 + max |y|), at the latest after max_rounds."""

    tolerance: float = 1e-6
    max_rounds: int = 500


def _iterate(step: Callable[[Tensor], Tensor], start: Tensor, rule: FixedPoint) -> Tensor:
    """The fixed point of `step`, item by item; start (N, ...)."""
    resolution = 8 * torch.finfo(start.dtype).eps
    scale = 1.0 + start.flatten(1).abs().amax(1)
    bound = max(rule.tolerance, resolution) * scale
    value, active = start, torch.ones_like(bound, dtype=torch.bool)
    for _ in range(rule.max_rounds):
        proposal = step(value)
        moved = (proposal - value).flatten(1).abs().amax(1)
        value = torch.where(active.view(-1, *[1] * (value.dim() - 1)), proposal, value)
        # NaN compares false, so an item that is not finite stops too and is seen by the caller.
        active = active & (moved > bound)
        if not bool(active.any()):
            return value
    raise DataError(
        f"The inverse of a residual block did not converge in {rule.max_rounds} rounds.",
        fix="The checkpoint is damaged: its layers are not contractions.",
    )


class _Invert(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, g: Callable[[Tensor], Tensor], rule: FixedPoint) -> Tensor:
        with torch.no_grad():
            x = _iterate(lambda x: y - g(x), y, rule)
        ctx.save_for_backward(x)
        ctx.g, ctx.rule = g, rule
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (cotangent,) = grads
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = ctx.g(x)
        w = _iterate(lambda w: cotangent - torch.autograd.grad(y, x, w, retain_graph=True)[0], cotangent, ctx.rule)
        return w, None, None


def invert_block(g: Callable[[Tensor], Tensor], y: Tensor, rule: FixedPoint) -> Tensor:
    """x with x + g(x) = y, (N, ...), differentiable in y (not in the parameters of g, which are frozen).

    Raises:
        DataError: the iteration does not converge, which means that g is not a contraction.
    """
    result: Tensor = _Invert.apply(y, g, rule)
    return result
