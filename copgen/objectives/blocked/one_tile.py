"""InfoNCE of a batch whose logits fit one tile: the same algorithm in as few operators as possible.

Small batches are dominated by call overhead, so all segments are one matrix z (N, D), the contrasted rows first, and
the probabilities (R, N) of the contrasted rows, at most `LARGEST`, are kept for the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives.batch import InfoNCECall
from copgen.objectives.blocked.products import LOG2_E
from copgen.objectives.blocked.tiles import exponentials, shares_shift
from copgen.objectives.blocked.unit_rows import bounded, gradient_of_rows, normalize, operand
from copgen.objectives.full_precision import full_precision
from copgen.objectives.second_derivatives import refuse_graph_of_gradients
from copgen.objectives.temperature_gradient import gradient_of_temperature

LARGEST = 2**17  # logits: 256 pairs in one direction, 181 in both


def fits(call: InfoNCECall) -> bool:
    """Whether the logits of all contrasted rows of K pairs are at most `LARGEST`."""
    pairs, further = call.h.shape[0], 0 if call.negatives is None else call.negatives.shape[0]
    return pairs * (1 + call.both) * (2 * pairs + further) <= LARGEST


class OneTile(torch.autograd.Function):
    """The loss, as computed by the operator `copgen::info_nce`."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor]:
        h, h_pos, negatives, learnt, temperature, both, normalized, mean = InfoNCECall(*inputs)
        tau = temperature if learnt is None else float(learnt)
        pairs = h.shape[0]
        z = torch.cat((h, h_pos) if negatives is None else (h, h_pos, negatives)).to(operand(h.dtype))
        length = None
        if not normalized:
            (z,), (length,) = normalize((z,), z.dtype)
        contrasted = pairs * (1 + both)
        with full_precision(h.device):
            products = torch.mm(z[:contrasted], z.T)
        positive = products.diagonal(pairs)[:pairs]
        positive = (torch.cat((positive, products.diagonal(-pairs))) if both else positive) / tau
        shared = shares_shift(tau, not normalized or bounded((z,)))
        of_negatives, total, n = _exponentials(products, pairs, tau, shared=shared)
        difference = n - positive
        losses = F.softplus(difference, threshold=40.0)
        ctx.save_for_backward(z, length, of_negatives, total, torch.sigmoid(difference), learnt)
        ctx.settings = tau, pairs, negatives is not None, h.dtype
        return (losses.mean() if mean else losses,)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        refuse_graph_of_gradients()
        z, length, of_negatives, total, lost, learnt = ctx.saved_tensors
        tau, pairs, queued, dtype = ctx.settings
        asked = ctx.needs_input_grad[:4]
        contrasted = lost.shape[0]
        # 1 - P(positive) is split among the negatives in proportion to their exponentials.
        share = lost * gradient if gradient.dim() else lost * (gradient / contrasted)
        weights = of_negatives * (share / total)[:, None]
        share = share.neg_()
        weights.diagonal(pairs)[:pairs].copy_(share[:pairs])
        if contrasted > pairs:
            weights.diagonal(-pairs).copy_(share[pairs:])
        rest = asked[2] or asked[3] or (asked[1] and contrasted == pairs)
        with full_precision(z.device):
            dz = _pull(z, weights, rest=rest and contrasted < z.shape[0]).mul_(1.0 / tau)
        last = dz.shape[0]
        whole, radial = gradient_of_rows(dz, z[:last], None if length is None else length[:last], dtype)
        found: list[Tensor | None] = [whole[:pairs], whole[pairs : 2 * pairs], whole[2 * pairs :] if queued else None]
        if asked[3]:
            found.append(gradient_of_temperature(radial, tau, learnt).to(learnt.dtype))
        answer = [g if ask else None for g, ask in zip([*found, None], asked, strict=False)]
        return (*answer, None, None, None, None)


def _exponentials(products: Tensor, pairs: int, tau: float, *, shared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """e^s (R, N), up to a factor per row, of the negatives and 0 elsewhere; its row sums and log sum e^s (R,).

    Overwrites the products (R, N) of the rows; the logits s are products / tau.
    """
    if shared:
        e = products.mul_(LOG2_E / tau).exp2_()
        _fill_pairs(e, pairs, 0.0)
        total = e.sum(1)
        return e, total, total.log()
    s = products.mul_(1.0 / tau)
    _fill_pairs(s, pairs, -torch.inf)
    top = s.amax(1)
    e = exponentials(s.sub_(top[:, None]))
    _fill_pairs(e, pairs, 0.0)
    total = e.sum(1)
    return e, total, total.log().add_(top)


def _fill_pairs(values: Tensor, pairs: int, value: float) -> None:
    """Set the entries of each row with itself and with its positive."""
    values.diagonal().fill_(value)
    values.diagonal(pairs)[:pairs].fill_(value)
    if values.shape[0] > pairs:
        values.diagonal(-pairs).fill_(value)


def _pull(z: Tensor, weights: Tensor, *, rest: bool) -> Tensor:
    """sum_j (V_ij + V_ji) z_j of the contrasted rows, V the `weights`, and, with `rest`, of the others."""
    contrasted = weights.shape[0]
    rows = z[:contrasted]
    dz = torch.empty_like(z if rest else rows)
    if rest:
        torch.mm(weights[:, contrasted:].T, rows, out=dz[contrasted:])
    among = weights[:, :contrasted]
    among += among.T.clone()  # both directions: i to j and j to i
    torch.mm(weights, z, out=dz[:contrasted])
    return dz
