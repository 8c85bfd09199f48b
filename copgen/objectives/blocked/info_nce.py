"""InfoNCE with dual negatives, tile by tile. docs/contrastive.md has the algorithm.

Legend: R rows of a tile, C its columns; s logits, a = g e^{-lse} with g the upstream gradient of a row's loss.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives.batch import Pairs
from copgen.objectives.blocked.products import add_product
from copgen.objectives.blocked.tiles import Block, Tile, exponentials, scratch_for, shares_shift
from copgen.objectives.blocked.unit_rows import gradient_of_rows

# (tau, the tile, its rows among those of all ranks, a buffer) -> the weight of each pair, (R, C)
Weigh = Callable[[float, Tile, slice, Tensor], Tensor]


def forward(pairs: Pairs, *, mean: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, () with `mean`, and per contrasted row (R,) its log-sum-exp and 1 - P(positive)."""
    tau = float(pairs.temperature)
    shared = shares_shift(tau, pairs.bounded)
    n = torch.cat(_log_sum_of_negatives(list(_contrasted(pairs)), tau, shared, 1 + pairs.both))
    positive = torch.linalg.vecdot(pairs.units[0], pairs.units[1]) / tau
    positive = positive.repeat(2) if pairs.both else positive
    difference = n - positive
    losses = F.softplus(difference, threshold=40.0)
    return losses.mean() if mean else losses, torch.logaddexp(n, positive), torch.sigmoid(difference)


def backward(
    pairs: Pairs, lse_all: Tensor, weight_all: Tensor, lost_all: Tensor, *, scale: float, needs: list[bool]
) -> tuple[list[Tensor | None], Tensor]:
    """The gradients of h, h_pos and negatives, None where not needed, and the sum of <dz, z> over their rows."""
    tau = float(pairs.temperature)
    pulls = [torch.zeros_like(z) if needed else None for z, needed in zip(pairs.units, needs, strict=False)]
    lse = list(lse_all.chunk(1 + pairs.both))
    g_all = list(weight_all.expand_as(lse_all).chunk(1 + pairs.both))
    weigh = functools.partial(_weights, lse, g_all)
    if shares_shift(tau, pairs.bounded):
        a = [g * torch.exp(-x) for g, x in zip(g_all, lse, strict=True)]
        weigh = functools.partial(shared_weights, a)
    add_negatives(pulls, list(_coupled(pairs, needs)), weigh, tau, pairs.offset)
    _add_positives(pulls, pairs, g_all, lost_all)
    gradients: list[Tensor | None] = [None, None, None]
    total = lse_all.new_zeros(())
    for place, dz in enumerate(pulls):
        if dz is not None:
            dz.mul_(scale / tau)
            length = pairs.lengths[place] if pairs.lengths else None
            gradients[place], radial = gradient_of_rows(dz, pairs.units[place], length, pairs.dtype)
            total += radial
    return gradients, total


def _contrasted(pairs: Pairs) -> Iterator[Block]:
    """The blocks that the contrasted rows are compared with."""
    (h, h_pos, *_), h_all, h_pos_all, negatives = pairs.units, pairs.h_all, pairs.h_pos_all, pairs.negatives
    offset, both, alone = pairs.offset, pairs.both, pairs.alone
    yield Block(0, 0, h, h_all, offset, mirrored=alone)
    yield Block(0, 1, h, h_pos_all, offset, mirrored=alone and both)
    if both:
        if not alone:
            yield Block(1, 0, h_pos, h_all, offset, mirrored=False)
        yield Block(1, 1, h_pos, h_pos_all, offset, mirrored=alone)
    if negatives is not None:
        yield Block(0, 2, h, negatives, None, mirrored=False)
        if both:
            yield Block(1, 2, h_pos, negatives, None, mirrored=False)


def _coupled(pairs: Pairs, needs: Sequence[bool]) -> Iterator[Block]:
    """The blocks that contribute to the needed gradients: all in which rows or columns are contrasted."""
    (h, h_pos, *_), h_all, h_pos_all, negatives = pairs.units, pairs.h_all, pairs.h_pos_all, pairs.negatives
    offset, both, alone = pairs.offset, pairs.both, pairs.alone
    if needs[0]:
        yield Block(0, 0, h, h_all, offset, mirrored=alone)
    if needs[0] or (alone and needs[1]):
        yield Block(0, 1, h, h_pos_all, offset, mirrored=alone)
    if needs[1] and not alone:
        yield Block(1, 0, h_pos, h_all, offset, mirrored=False)
    if needs[1] and both:
        yield Block(1, 1, h_pos, h_pos_all, offset, mirrored=alone)
    if negatives is not None:
        if needs[0] or needs[2]:
            yield Block(0, 2, h, negatives, None, mirrored=True)
        if both and (needs[1] or needs[2]):
            yield Block(1, 2, h_pos, negatives, None, mirrored=True)


def _log_sum_of_negatives(blocks: list[Block], tau: float, shared: bool, contrasted: int) -> list[Tensor]:
    """log sum e^s over the negatives of each contrasted row, per segment."""
    h, scratch = blocks[0].rows, scratch_for(blocks)
    start = 0.0 if shared else -math.inf
    n = [h.new_full((len(h),), start) for _ in range(contrasted)]
    add = add_exponentials if shared else _add_logits
    for block in blocks:
        for tile in block.tiles():
            add(n, tile, scratch, tau)
    return [x.log_() for x in n] if shared else n


def add_exponentials(total: list[Tensor], tile: Tile, scratch: Tensor, tau: float) -> None:
    """Add e^s of the tile to the totals (R,) of its rows and, mirrored, of its columns; the diagonal is left out."""
    tile.add_exponentials(scratch, tau, total[tile.block.row], total[min(tile.block.column, len(total) - 1)])


def _add_logits(n: list[Tensor], tile: Tile, scratch: Tensor, tau: float) -> None:
    """The same for logarithms of totals, each taken over its row's own maximum."""
    s = tile.logits(scratch, 1.0 / tau)
    tile.fill_diagonal(s, -math.inf)
    _log_add(n[tile.block.row][tile.rows], s.logsumexp(1))
    if tile.mirror is not None:
        _log_add(n[tile.block.column][tile.mirror], tile.mirrored(s).logsumexp(0))


def _log_add(total: Tensor, term: Tensor) -> None:
    torch.logaddexp(total, term, out=total)


def add_negatives(dz: list[Tensor | None], blocks: list[Block], weigh: Weigh, tau: float, offset: int) -> None:
    """Add sum_j e^{s_ij} (a_i + a_j) z_j to the row gradients: one product for both directions, i to j and j to i."""
    if not blocks:
        return
    scratch = scratch_for(blocks)
    for block in blocks:
        for tile in block.tiles():
            own = slice(offset + tile.rows.start, offset + tile.rows.stop)
            weights = weigh(tau, tile, own, scratch)
            _spread(dz, tile, weights)


def _add_positives(dz: list[Tensor | None], pairs: Pairs, g_all: list[Tensor], lost_all: Tensor) -> None:
    """Subtract (g_i lost_i + g_p lost_p) z_p from the row gradients, p the partner of i."""
    h, h_pos, *_ = pairs.units
    mine = slice(pairs.offset, pairs.offset + h.shape[0])
    parts = [(g * lost)[mine] for g, lost in zip(g_all, lost_all.chunk(len(g_all)), strict=True)]
    weight = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    for gradient, partner in zip(dz, (h_pos, h), strict=False):
        if gradient is not None:
            gradient.addcmul_(weight[:, None], partner, value=-1.0)


def shared_weights(a: list[Tensor], tau: float, tile: Tile, rows: slice, scratch: Tensor) -> Tensor:
    """e^s (a_i + a_j) over a tile; segments that are not contrasted have a = 0."""
    of_rows = a[tile.block.row][rows] if tile.block.row < len(a) else None
    of_columns = a[tile.block.column][tile.columns] if tile.block.column < len(a) else None
    return tile.exponentials(scratch, tau, of_rows, of_columns)


def _weights(lse: list[Tensor], g: list[Tensor], tau: float, tile: Tile, rows: slice, scratch: Tensor) -> Tensor:
    """The same as e^{s - lse_i} g_i + e^{s - lse_j} g_j, each exponent at most about 0."""
    block, s = tile.block, tile.logits(scratch, 1.0 / tau)
    of_rows = of_columns = None
    if block.row < len(lse):
        of_rows = exponentials(s - lse[block.row][rows, None]).mul_(g[block.row][rows, None])
    if block.column < len(lse):
        columns = (None, tile.columns)
        of_columns = exponentials(s - lse[block.column][columns]).mul_(g[block.column][columns])
    weights = of_rows if of_columns is None else of_columns if of_rows is None else of_rows.add_(of_columns)
    assert weights is not None
    tile.fill_diagonal(weights, 0.0)
    return weights


def _spread(dz: list[Tensor | None], tile: Tile, weights: Tensor) -> None:
    """Add the tile's products with the other side's rows to the gradients of its rows and, mirrored, of its columns."""
    block, mirror = tile.block, tile.mirror
    of_rows, of_columns = dz[block.row], dz[block.column]
    if of_rows is not None:
        add_product(of_rows[tile.rows], weights, tile.z_columns)
    if mirror is not None and of_columns is not None:
        add_product(of_columns[mirror], tile.mirrored(weights).T, tile.z_rows)
