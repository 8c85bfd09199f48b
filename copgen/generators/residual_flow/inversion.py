"""The inverse of a residual block y = x + g(x), by fixed-point iteration, differentiated implicitly.

Forward: the fixed point of x <- y - g(x), from x = y. Every item of the batch iterates independently and leaves the
batch when it has converged. The other items matter only if the low bits of g depend on the number of rows, which they
do not when linear layers are inverted natively (`silu_layers`). Backward: the gradient c with respect to x becomes
w = (I + J_g^T)^-1 c with respect to y, the fixed point of w <- c - J_g^T w; no iterate is stored, so memory does not
grow with the number of iterations. Both converge because g is a contraction, and both are accelerated (`anderson`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from copgen.generators.residual_flow.anderson import Map, fixed_point
from copgen.generators.residual_flow.folded import FoldedNet
from copgen.runtime.errors import DataError

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FixedPoint:
    """The tight stop rule: an item is done once max |step| <= tolerance * scale; max_rounds is the limit.

    The scale is 1 + max |y| for the inverse, and max |c| for its gradient, which is linear in c: a loss that is a mean
    over a batch has cotangents far below 1. `window` is the number of directions that the acceleration stores; 0 is
    plain iteration.
    """

    tolerance: float = 1e-6
    max_rounds: int = 500
    window: int = 3

    def inverse(self, g: Step, y: Tensor) -> Tensor:
        """x with x + g(x) = y."""
        scale = 1.0 + _largest(y)
        x = None
        if isinstance(g, FoldedNet):
            x = g.invert(y, self._bound(scale), window=self.window, max_rounds=self.max_rounds)
        if x is None:
            x = self._solve(lambda x, rows: y.index_select(0, rows) - g(x), y, scale)
        # A non-finite input is passed through to the caller; one that becomes non-finite here has diverged.
        if x is None or bool((torch.isfinite(scale) & ~torch.isfinite(_largest(x))).any()):
            raise self._failure()
        return x

    def gradient(self, g: Step, x: Tensor, cotangent: Tensor) -> Tensor:
        """w with w + J_g^T w = cotangent, for the Jacobian at x."""
        limits = torch.finfo(cotangent.dtype)
        scale = _largest(cotangent).clamp_min(limits.tiny / limits.eps)
        shape = (-1, *[1] * (cotangent.dim() - 1))
        unit = cotangent / scale.view(shape)
        one, w = torch.ones_like(scale), None
        if isinstance(g, FoldedNet):
            w = g.pull_back(x, unit, self._bound(one), window=self.window, max_rounds=self.max_rounds)
        if w is None:
            w = self._solve(_transposed(g, x, unit), unit, one)
        if w is None or bool((torch.isfinite(scale) & ~torch.isfinite(_largest(w))).any()):
            raise self._failure()
        return w * scale.view(shape)

    def _solve(self, step: Map, start: Tensor, scale: Tensor) -> Tensor | None:
        return fixed_point(step, start, self._bound(scale), window=self.window, max_rounds=self.max_rounds)

    def _bound(self, scale: Tensor) -> Tensor:
        return max(self.tolerance, 8 * torch.finfo(scale.dtype).eps) * scale

    def _failure(self) -> DataError:
        return DataError(
            f"The inverse of a residual block did not converge in {self.max_rounds} iterations.",
            fix="The checkpoint is damaged (its layers are not contractions); fetch or train it again.",
        )


@dataclass(frozen=True)
class ReferenceRule:
    """The stop rule of the published code: step^2 < tolerance * (1 + |y|) for all elements of the whole batch.

    That leaves images about 1e-3 from the true inverse, and lets the items of a batch influence each other; it exists
    to reproduce the reference. The gradient is exact at the point where the iteration stopped.
    """

    tolerance: float = 1e-5
    max_rounds: int = 1000
    backward: FixedPoint = FixedPoint()

    def inverse(self, g: Step, y: Tensor) -> Tensor:
        """x with x + g(x) = y, to the loose tolerance."""
        bound = self.tolerance * (1.0 + y.abs())
        before, x = y, y - g(y)
        for _ in range(self.max_rounds):
            # NaN never converges, and would run to the limit in every block.
            if bool((((x - before).square() < bound) | ~torch.isfinite(x)).all()):
                break
            before, x = x, y - g(x)
        if bool((torch.isfinite(y) & ~torch.isfinite(x)).any()):
            raise DataError(
                "The inverse of a residual block diverged.",
                fix="The checkpoint is damaged (its layers are not contractions); fetch or train it again.",
            )
        return x

    def gradient(self, g: Step, x: Tensor, cotangent: Tensor) -> Tensor:
        """w with w + J_g^T w = cotangent, for the Jacobian at x."""
        return self.backward.gradient(g, x, cotangent)


Rule = FixedPoint | ReferenceRule


def _largest(value: Tensor) -> Tensor:
    return value.flatten(1).abs().amax(1)


def _transposed(g: Step, x: Tensor, cotangent: Tensor) -> Map:
    """w -> cotangent - J_g^T w, by autograd at x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = g(x)

    def step(w: Tensor, rows: Tensor) -> Tensor:
        # The graph covers all items, however few are left.
        everything = len(rows) == len(cotangent)
        whole = w if everything else torch.zeros_like(cotangent).index_copy_(0, rows, w)
        found: Tensor = cotangent - torch.autograd.grad(y, x, whole, retain_graph=True)[0]
        return found if everything else found.index_select(0, rows)

    return step


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
        return ctx.rule.gradient(ctx.g, x, cotangent), None, None


def invert_block(g: Step, y: Tensor, rule: Rule) -> Tensor:
    """x with x + g(x) = y, (N, ...), differentiable in y (not in the parameters of g, which are frozen).

    Raises:
        DataError: the iteration does not converge, which means that g is not a contraction.
    """
    result: Tensor = _Invert.apply(y, g, rule)
    return result
