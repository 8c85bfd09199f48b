"""SupCon "out", tile by tile. docs/contrastive.md has the algorithm.

The rows are sorted by label first. Then only tiles along the diagonal contain positives; all others contain negatives
only and need no mask.

Legend: N rows of this rank, R rows of a tile, C its columns; s logits, g upstream gradients, c numbers of positives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives.batch import Labelled
from copgen.objectives.blocked.products import add_product
from copgen.objectives.blocked.tiles import Block, Tile, exponentials, scratch_for, shares_shift
from copgen.objectives.blocked.unit_rows import gradient_of_rows


def forward(batch: Labelled) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per row (N,): the loss, its log-sum-exp, 1 - P(positives), and the number of positives, int64."""
    tau = float(batch.temperature)
    rows, columns = _in_order(batch)
    block = _block(rows, columns)
    if shares_shift(tau, batch.bounded):
        n, p = (x.log_() for x in _sums(block, rows, columns, tau))
    else:
        n, p = _log_sums(block, rows, columns, tau)
    count, mean_logit = _positives(rows, columns, tau)
    losses = _losses(n, p, count, mean_logit)
    back = rows.order.argsort()
    return losses[back], torch.logaddexp(n, p)[back], torch.sigmoid(n - p)[back], count[back]


def backward(
    batch: Labelled, lse_all: Tensor, lost_all: Tensor, count_all: Tensor, weight_all: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of z (N, D), and the sum of <dz, z> over its rows."""
    tau = float(batch.temperature)
    rows, columns = _in_order(batch)
    g_all = torch.where(count_all > 0, weight_all.expand_as(lse_all), 0.0)
    coupling = [_Coupling.of(lse_all, g_all, lost_all, count_all, x.place) for x in (rows, columns)]
    dz = _pull(_block(rows, columns), rows, columns, coupling, tau, shares_shift(tau, batch.bounded))
    dz = dz[rows.order.argsort()].mul_(1.0 / tau)
    return gradient_of_rows(dz, batch.z, batch.length, batch.dtype)


@dataclass(frozen=True)
class _Ordered:
    """Rows sorted by label: z (N, D), labels (N,), their original indices, and their indices among all rows."""

    z: Tensor
    labels: Tensor
    order: Tensor
    place: Tensor


def _in_order(batch: Labelled) -> tuple[_Ordered, _Ordered]:
    """This rank's rows and those of all ranks, sorted; the same object for a single process."""
    order = batch.labels_all.argsort(stable=True)
    columns = _Ordered(batch.z_all[order], batch.labels_all[order], order, order)
    if batch.z_all is batch.z:
        return columns, columns
    order = batch.labels.argsort(stable=True)
    return _Ordered(batch.z[order], batch.labels[order], order, order + batch.offset), columns


def _block(rows: _Ordered, columns: _Ordered) -> Block:
    return Block(0, 0, rows.z, columns.z, diagonal=None, mirrored=rows is columns)


def _meets(tile: Tile, rows: _Ordered, columns: _Ordered) -> bool:
    """Whether any row and column of the tile share a label; if not, it has no positives and no diagonal."""
    first, last = rows.labels[tile.rows.start], rows.labels[tile.rows.stop - 1]
    leftmost, rightmost = columns.labels[tile.columns.start], columns.labels[tile.columns.stop - 1]
    return bool((first <= rightmost) & (leftmost <= last))


def _same(tile: Tile, rows: _Ordered, columns: _Ordered) -> tuple[Tensor, Tensor]:
    """Masks over a tile (R, C): which pairs share a label, and which of them are a row with itself."""
    share = rows.labels[tile.rows, None] == columns.labels[None, tile.columns]
    itself = rows.place[tile.rows, None] == columns.place[None, tile.columns]
    return share, itself


def _sums(block: Block, rows: _Ordered, columns: _Ordered, tau: float) -> tuple[Tensor, Tensor]:
    """sum e^s over the negatives and over the positives of each row (N,)."""
    scratch = scratch_for([block])
    n, p = block.rows.new_zeros(2, len(block.rows))
    for tile in block.tiles():
        e = tile.exponentials(scratch, tau)
        if _meets(tile, rows, columns):
            share, itself = _same(tile, rows, columns)
            positive = torch.where(share & ~itself, e, 0.0)
            e.masked_fill_(share, 0.0)
            p[tile.rows] += positive.sum(1)
            if tile.mirror is not None:
                p[tile.mirror] += tile.mirrored(positive).sum(0)
        n[tile.rows] += e.sum(1)
        if tile.mirror is not None:
            n[tile.mirror] += tile.mirrored(e).sum(0)
    return n, p


def _log_sums(block: Block, rows: _Ordered, columns: _Ordered, tau: float) -> tuple[Tensor, Tensor]:
    """log sum e^s over the negatives and over the positives of each row (N,)."""
    scratch = scratch_for([block])
    n, p = block.rows.new_full((2, len(block.rows)), -math.inf)
    for tile in block.tiles():
        s = tile.logits(scratch, 1.0 / tau)
        if _meets(tile, rows, columns):
            share, itself = _same(tile, rows, columns)
            _log_add(p, tile, torch.where(share & ~itself, s, -math.inf))
            s.masked_fill_(share, -math.inf)
        _log_add(n, tile, s)
    return n, p


def _log_add(total: Tensor, tile: Tile, s: Tensor) -> None:
    """Add the tile's exponentials to logarithms of sums (N,), for its rows and, mirrored, for its columns."""
    torch.logaddexp(total[tile.rows], s.logsumexp(1), out=total[tile.rows])
    if tile.mirror is not None:
        torch.logaddexp(total[tile.mirror], tile.mirrored(s).logsumexp(0), out=total[tile.mirror])


def _positives(rows: _Ordered, columns: _Ordered, tau: float) -> tuple[Tensor, Tensor]:
    """The number of positives (N,) int64 and their mean logit (N,), from the sum of each label's rows."""
    known, member, size = torch.unique_consecutive(columns.labels, return_inverse=True, return_counts=True)
    total = columns.z.new_zeros(len(known), columns.z.shape[1]).index_add_(0, member, columns.z)
    own = torch.searchsorted(known, rows.labels)
    count = size[own] - 1
    mean = (total[own] - rows.z) / count.clamp(min=1).to(rows.z.dtype)[:, None]
    return count, torch.linalg.vecdot(rows.z, mean) / tau


def _losses(n: Tensor, p: Tensor, count: Tensor, mean_logit: Tensor) -> Tensor:
    """softplus(n - p) against the negatives, p - mean logit among the positives; 0 for a row without a positive."""
    none_negative = n == -math.inf
    against = torch.where(none_negative, 0.0, F.softplus(n - p, threshold=40.0))
    among = torch.where(count > 1, p - mean_logit, 0.0)
    return torch.where(count > 0, against + among, 0.0)


@dataclass(frozen=True)
class _Coupling:
    """What determines the weights of a row's pairs, each (N,).

    Attributes:
        lse: its log-sum-exp.
        g: its upstream gradient.
        target: g times the target weight of each of its positives.
        lone: whether it has a single positive, whose e^{s - lse} - 1 is -lost, held by `target` without cancellation.
    """

    lse: Tensor
    g: Tensor
    target: Tensor
    lone: Tensor

    @classmethod
    def of(cls, lse: Tensor, g: Tensor, lost: Tensor, count: Tensor, place: Tensor) -> _Coupling:
        """Of the rows at `place` among all rows."""
        share = torch.where(count == 1, lost, 1.0 / count.clamp(min=1).to(lse.dtype))
        return cls(lse[place], g[place], (g * share)[place], (count == 1)[place])


def _pull(
    block: Block, rows: _Ordered, columns: _Ordered, coupling: list[_Coupling], tau: float, shared: bool
) -> Tensor:
    """sum_j (V_ij + V_ji) z_j for each row (N, D), in the order of the labels."""
    scratch = scratch_for([block])
    dz = torch.zeros_like(block.rows)
    left, right = coupling
    a, b = (x.g * torch.exp(-x.lse) for x in coupling)
    for tile in block.tiles():
        if shared:
            weights = tile.exponentials(scratch, tau, a[tile.rows], b[tile.columns])
        else:
            s = tile.logits(scratch, 1.0 / tau)
            weights = exponentials(s - left.lse[tile.rows, None]).mul_(left.g[tile.rows, None])
            weights += exponentials(s - right.lse[None, tile.columns]).mul_(right.g[None, tile.columns])
        if _meets(tile, rows, columns):
            share, itself = _same(tile, rows, columns)
            weights.masked_fill_(itself | (share & left.lone[tile.rows, None]), 0.0)
            target = left.target[tile.rows, None] + right.target[None, tile.columns]
            weights.sub_(torch.where(share & ~itself, target, 0.0))
        add_product(dz[tile.rows], weights, tile.z_columns)
        if tile.mirror is not None:
            add_product(dz[tile.mirror], tile.mirrored(weights).T, tile.z_rows)
    return dz
