"""InfoNCE of Algorithm 1 with the gradient computed in the forward pass, which saves a sixth of the arithmetic.

Only the anchors are contrasted, so the h' and the further negatives appear in the anchors' rows only: once a row is
summed, its weights are known, and a strip of logits computed once serves the loss and both gradients. The logits of
anchors with anchors, which are symmetric, still take two passes over the upper triangle. In units of K^2 D that is 10
instead of 12. It requires the same upstream gradient for all rows: a mean.

Legend: e = e^s, 0 for a positive; a = e^{-lse}.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives.batch import InfoNCECall
from copgen.objectives.blocked import tiles
from copgen.objectives.blocked.info_nce import add_exponentials, add_negatives, shared_weights
from copgen.objectives.blocked.products import add_product, exponentials
from copgen.objectives.blocked.tiles import Block, scratch_for, shares_shift
from copgen.objectives.blocked.unit_rows import bounded, gradient_of_rows, normalize, operand
from copgen.objectives.full_precision import full_precision
from copgen.objectives.second_derivatives import refuse_graph_of_gradients
from copgen.objectives.temperature_gradient import gradient_of_temperature

STRIP = 192  # rows of logits in memory at a time: 1.5 times the size of embeddings of width 128


def fits(call: InfoNCECall) -> bool:
    """Whether this applies: a gradient is needed, of a mean loss in one direction, without a maximum per row."""
    differentiable = any(x.requires_grad for x in (*call.given, call.learnt) if x is not None)
    if call.both or not call.mean or not torch.is_grad_enabled() or not differentiable:
        return False
    return shares_shift(float(call.tau), not call.normalized or bounded(call.given))


class OnePass(torch.autograd.Function):
    """The loss, as computed by the operator `copgen::info_nce`, for arguments that fit."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor]:
        call = InfoNCECall(*inputs)
        h, learnt, tau, given = call.h, call.learnt, float(call.tau), call.given
        asked = ctx.needs_input_grad[:4]
        # The temperature's gradient follows from those of all embeddings.
        needs = [True] * len(given) if asked[3] else list(asked[: len(given)])
        lengths: Sequence[Tensor | None] = [None] * len(given)
        if call.normalized:
            units = [x.to(operand(x.dtype)).contiguous() for x in given]
        else:
            units, lengths = normalize(given, operand(h.dtype))
        with full_precision(h.device):
            loss, pulls = _loss_and_pulls(units, needs, tau)
        radial = loss.new_zeros(())
        gradients: list[Tensor | None] = [None] * 4
        for place, (dz, z, length) in enumerate(zip(pulls, units, lengths, strict=True)):
            if dz is not None:
                # Cast after multiplying by the upstream gradient: a loss scale may prevent underflow in half precision.
                gradients[place], share = gradient_of_rows(dz.mul_(1.0 / (tau * len(h))), z, length, dz.dtype)
                radial += share
        if learnt is not None and asked[3]:
            gradients[3] = gradient_of_temperature(radial, tau, learnt)
        ctx.save_for_backward(*gradients)
        ctx.dtypes = h.dtype, h.dtype, h.dtype, None if learnt is None else learnt.dtype
        return (loss,)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        refuse_graph_of_gradients()
        found = zip(ctx.saved_tensors, ctx.dtypes, ctx.needs_input_grad[:4], strict=True)
        scaled = [(x * gradient).to(dtype) if asked and x is not None else None for x, dtype, asked in found]
        return (*scaled, None, None, None, None)


def _loss_and_pulls(units: Sequence[Tensor], needs: Sequence[bool], tau: float) -> tuple[Tensor, list[Tensor | None]]:
    """The mean loss, and K tau times its gradients with respect to the unit rows of each segment that needs one."""
    h, h_pos, *_ = units
    columns = sum(len(z) for z in units[1:])
    among = Block(0, 0, h, h, 0, mirrored=True)
    scratch = scratch_for([among])
    strip = h.new_empty(min(STRIP, len(h)) * columns)
    total, losses, a, lost = h.new_zeros(len(h)), h.new_empty(len(h)), h.new_empty(len(h)), h.new_empty(len(h))
    for tile in among.tiles():
        add_exponentials([total], tile, scratch, tau)
    del scratch
    positive = torch.linalg.vecdot(h, h_pos) / tau
    pulls = [torch.zeros_like(z) if needed else None for z, needed in zip(units, needs, strict=True)]
    for top in range(0, len(h), STRIP):
        rows = slice(top, min(top + STRIP, len(h)))
        parts = []
        for part, z, dz in _strip(h[rows], units[1:], pulls[1:], strip, top, tau, total[rows]):
            if pulls[0] is not None:
                add_product(pulls[0][rows], part, z)
            parts.append((part, dz))
        n = total[rows].log()
        difference = n - positive[rows]
        losses[rows] = F.softplus(difference, threshold=40.0)
        lost[rows] = torch.sigmoid(difference)
        torch.exp(-torch.logaddexp(n, positive[rows]), out=a[rows])
        weighted = h[rows] * a[rows, None]
        for e, dz in parts:
            if dz is not None:
                add_product(dz, e.T, weighted)
        if pulls[0] is not None:
            pulls[0][rows].mul_(a[rows, None])
    del strip
    if pulls[0] is not None:
        add_negatives([pulls[0]], [among], functools.partial(shared_weights, [a]), tau, 0)
    for dz, partner in zip(pulls, (h_pos, h), strict=False):
        if dz is not None:
            dz.addcmul_(lost[:, None], partner, value=-1.0)
    return losses.mean(), pulls


def _strip(
    anchors: Tensor,
    segments: Sequence[Tensor],
    pulls: Sequence[Tensor | None],
    buffer: Tensor,
    top: int,
    tau: float,
    total: Tensor,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yields e (R, C) of a strip of anchors, starting at index `top`, against parts of each segment.

    Each with the part's rows (C, D) and their slice of the segment's `pulls`. The sums of the rows are added to `total`
    (R,); e is a view of `buffer`.
    """
    for place, (z, dz) in enumerate(zip(segments, pulls, strict=True)):
        for left in range(0, len(z), tiles.WIDTH):
            columns = slice(left, min(left + tiles.WIDTH, len(z)))
            size = len(anchors) * (columns.stop - left)
            part, buffer = buffer[:size], buffer[size:]
            diagonal = top - left if place == 0 else None
            e = exponentials(anchors, z[columns], tau, part, diagonal=diagonal, row_sums=total)
            yield e, z[columns], None if dz is None else dz[columns]
