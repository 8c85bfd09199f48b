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
from torch.autograd.function import once_differentiable

from copgen.runtime.errors import DataError

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FixedPoint:
    """When to stop, tightly: an item is done once max |step| <= tolerance * scale, at the latest after max_rounds.

    The scale is 1 + max |y| for the inverse, and max |c| for its gradient, which is linear in c: a loss that is a mean
    over a batch has cotangents far below 1.
    """

    tolerance: float = 1e-6
    max_rounds: int = 500

    def inverse(self, g: Step, y: Tensor) -> Tensor:
        """x with x + g(x) = y."""
        return _iterate(lambda x: y - g(x), y, 1.0 + _largest(y), self)

    def gradient(self, pull_back: Step, cotangent: Tensor) -> Tensor:
        """w with w + J_g^T w = cotangent."""
        return _iterate(lambda w: cotangent - pull_back(w), cotangent, _largest(cotangent), self)


@dataclass(frozen=True)
class ReferenceRule:
    """When the published code stops: once step^2 < tolerance * (1 + |y|) for all elements of the whole batch.

    That leaves images about 1e-3 from the true inverse, and lets the items of a batch influence each other; it is here
    to give what the reference gives. The gradient is the exact one at the point where it stopped.
    """

    tolerance: float = 1e-5
    max_rounds: int = 1000
    backward: FixedPoint = FixedPoint()

    def inverse(self, g: Step, y: Tensor) -> Tensor:
        """x with x + g(x) = y, loosely."""
        bound = self.tolerance * (1.0 + y.abs())
        before, x = y, y - g(y)
        for _ in range(self.max_rounds):
            # NaN never passes, and would cost every round in every block.
            if bool((((x - before).square() < bound) | ~torch.isfinite(x)).all()):
                break
            before, x = x, y - g(x)
        if bool((torch.isfinite(y) & ~torch.isfinite(x)).any()):
            raise DataError(
                "The inverse of a residual block ran away.",
                fix="The checkpoint is damaged: its layers are not contractions.",
            )
        return x

    def gradient(self, pull_back: Step, cotangent: Tensor) -> Tensor:
        """w with w + J_g^T w = cotangent."""
        return self.backward.gradient(pull_back, cotangent)


Rule = FixedPoint | ReferenceRule


def _largest(value: Tensor) -> Tensor:
    return value.flatten(1).abs().amax(1)


def _iterate(step: Step, start: Tensor, scale: Tensor, rule: FixedPoint) -> Tensor:
    """The fixed point of `step`, item by item; start (N, ...), scale (N,)."""
    limits = torch.finfo(start.dtype)
    bound = max(rule.tolerance, 8 * limits.eps) * scale.clamp_min(limits.tiny / limits.eps)
    value, active = start, torch.ones_like(bound, dtype=torch.bool)
    for _ in range(rule.max_rounds):
        proposal = step(value)
        moved = _largest(proposal - value)
        value = torch.where(active.view(-1, *[1] * (value.dim() - 1)), proposal, value)
        # NaN compares false, so an item that is not finite stops too.
        active = active & (moved > bound)
        if not bool(active.any()):
            break
    # What was not finite from the start is the caller's to see; what became so has run away.
    failed = active | (torch.isfinite(scale) & ~torch.isfinite(_largest(value)))
    if bool(failed.any()):
        raise DataError(
            f"The inverse of a residual block did not converge in {rule.max_rounds} rounds.",
            fix="The checkpoint is damaged: its layers are not contractions.",
        )
    return value


class _Invert(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, g: Step, rule: Rule) -> Tensor:
        with torch.no_grad():
            x = rule.inverse(g, y)
        ctx.save_for_backward(x)
        ctx.g, ctx.rule = g, rule
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (cotangent,) = grads
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = ctx.g(x)

        def pull_back(w: Tensor) -> Tensor:
            back: Tensor = torch.autograd.grad(y, x, w, retain_graph=True)[0]
            return back

        return ctx.rule.gradient(pull_back, cotangent), None, None


def invert_block(g: Step, y: Tensor, rule: Rule) -> Tensor:
    """x with x + g(x) = y, (N, ...), differentiable in y (not in the parameters of g, which are frozen).

    Raises:
        DataError: the iteration does not converge, which means that g is not a contraction.
    """
    result: Tensor = _Invert.apply(y, g, rule)
    return result
