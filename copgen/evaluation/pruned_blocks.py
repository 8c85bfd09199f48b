"""The k nearest rows, in plain PyTorch: rows of the bank are left out for a whole block of queries.

Rows whose bound reaches the k-th best product that is known are bounded again with twice as many axes, and products of
all D coordinates are computed of those that are left. Queries that are alike are taken together, as they share most of
these rows.

Legend: N bank rows, M queries, K queries of a block, D dimension, m leading axes, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from copgen.evaluation.leading_axes import alike, coordinates_of

QUERIES, REGION = 64, 1024  # that are alike: queries of a block, rows of the bank beside each other
BANK = 65_536  # rows whose bounds are known at once: 17 MB
CANDIDATES = 16_384  # rows that are compared at once
GROUP = 16  # rows, of which the one with the highest bound is compared first
LEADING = (1 / 32, 1 / 16, 3 / 32, 1 / 8)  # m is the first of these shares of D ...
REST = 0.06  # ... beyond twice which lies at most this share of the squares
FLAT = 0.5  # the share beyond twice the last of them from which on the bounds are too loose
LOOSE, TRIED = 0.25, 8  # the share of the bank that is compared, of the first blocks, above which it does not pay

Nearest = tuple[Tensor, Tensor]


def block_search(
    bank: Tensor, axes: Tensor, beyond: Tensor, k: int, plain: Callable[[Tensor], Nearest]
) -> BlockSearch | None:
    """The search in a bank, or None if its spectrum is too flat, or k too large.

    Args:
        bank: (N, D) of length 1 or less, float32 or float64.
        axes, beyond: `principal_axes` of it.
        k, plain: as `pruned_search`.
    """
    if k * GROUP > min(len(bank), BANK):
        return None
    sizes = [round(share * bank.shape[1]) for share in LEADING]
    m = next((m for m in sizes if beyond[2 * m - 1] <= REST), sizes[-1])
    if beyond[2 * m - 1] > FLAT:
        return None
    leading = axes[:, : 2 * m].contiguous()
    coarse, fine = _both(bank, leading)
    order = torch.cat(alike(coarse, REGION))  # rows that are alike are neighbours in memory too
    bank, coarse, fine = (rows.index_select(0, order) for rows in (bank, coarse, fine))
    return BlockSearch(bank, order, leading, coarse, fine, k, plain)


def _both(unit: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """`coordinates_of` vectors (N, D) along axes (D, 2 m), for both bounds.

    Returns:
        (N, m + 1), and (N, m + 2), what the second bound adds: its step, and the length that was the rest before.
    """
    m = axes.shape[1] // 2
    coarse, fine = coordinates_of(unit, axes, (m, 2 * m))
    return coarse, torch.cat((fine, coarse[:, -1:]), dim=1)


@dataclass(eq=False)
class BlockSearch:
    """The k nearest rows of a bank.

    Attributes:
        bank: (N, D) of length 1, rows that are alike together.
        order: (N,) int64, which rows these are.
        axes: (D, 2 m) float64, orthonormal.
        coarse, fine: (N, m + 1) and (N, m + 2), `_both` of the bank.
        k, plain: as `pruned_search`.
        compared: the share of the bank that was compared with each block of queries so far.
    """

    bank: Tensor
    order: Tensor
    axes: Tensor
    coarse: Tensor
    fine: Tensor
    k: int
    plain: Callable[[Tensor], Nearest]
    compared: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Of fresh memory for every product, the operating system would clear the pages each time.
        self._bounds = self.bank.new_empty(min(len(self.bank), BANK) * QUERIES)
        self._rows = self.bank.new_empty(CANDIDATES, self.bank.shape[1])

    @property
    def margin(self) -> float:
        """By how much the k-th best product may exceed the bound of a row that is as near."""
        terms = (sum(self.axes.shape) + 16) * torch.finfo(self.bank.dtype).eps / 2
        return 1.01 * terms / (1.0 - terms)

    @property
    def pays(self) -> bool:
        """Whether bounds have been tight."""
        return len(self.compared) < TRIED or sum(self.compared) < LOOSE * len(self.compared)

    def __call__(self, queries: Tensor) -> Nearest:
        """Products (M, k) and rows (M, k) int64 of the nearest rows, nearest first, of unit vectors (M, D)."""
        if not bool(queries.sum().isfinite()):
            return self.plain(queries)
        size = len(queries), self.k
        similarity, rows = queries.new_empty(size), torch.empty(size, dtype=torch.int64)
        coarse, fine = _both(queries, self.axes)
        fine[:, -1].neg_()  # the first bound has it: it is taken off
        blocks = alike(coarse, QUERIES)
        while blocks and self.pays:
            some = blocks.pop()
            block = tuple(vectors[some].T.contiguous() for vectors in (queries, coarse, fine))
            similarity[some], rows[some] = self._nearest(*block)
        if blocks:
            some = torch.cat(blocks)
            similarity[some], rows[some] = self.plain(queries[some])
        return similarity, rows

    def _nearest(self, queries: Tensor, coarse: Tensor, fine: Tensor) -> Nearest:
        """Of a block of queries (D, K) with coordinates (m + 1, K) and (m + 2, K)."""
        K, k, compared = queries.shape[1], self.k, 0
        similarity, rows = queries.new_empty(0, K), torch.empty(0, K, dtype=torch.int64)
        for start in range(0, len(self.bank), BANK):
            of_bank = self.coarse[start : start + BANK]
            bounds = torch.mm(of_bank, coarse, out=self._bounds[: len(of_bank) * K].view(-1, K))
            whole = len(bounds) // GROUP * GROUP
            groups = bounds[:whole].view(-1, GROUP, K)
            highest = groups.amax(dim=1)
            if start == 0:
                promising = _promising(groups, highest, k)
                compared += len(promising)
                known = self._products(promising, queries).topk(k, dim=0).values[-1]
            else:
                known = similarity[-1]
            reaching, excess = _reaching(groups, highest, known - self.margin)
            excess = torch.addmm(excess, self.fine.index_select(0, reaching + start), fine)
            reaching = reaching[excess.amax(dim=1) >= 0.0]
            candidates = torch.cat((reaching, torch.arange(whole, len(bounds)))) + start  # the last are in no group
            compared += len(candidates)
            best = self._products(candidates, queries).topk(min(k, len(candidates)), dim=0)
            similarity, kept = torch.cat((similarity, best.values)).topk(k, dim=0)
            rows = torch.cat((rows, self.order[candidates[best.indices]])).gather(0, kept)
        self.compared.append(compared / len(self.bank))
        return similarity.T, rows.T

    def _products(self, rows: Tensor, queries: Tensor) -> Tensor:
        """(n, K) of rows of the bank (n,) and queries (D, K)."""
        found = queries.new_empty(len(rows), queries.shape[1])
        for start in range(0, len(rows), CANDIDATES):
            some = rows[start : start + CANDIDATES]
            bank = torch.index_select(self.bank, 0, some, out=self._rows[: len(some)])
            torch.mm(bank, queries, out=found[start : start + CANDIDATES])
        return found


def _promising(groups: Tensor, highest: Tensor, k: int) -> Tensor:
    """At least k rows: of each query the best of its k best groups.

    Args:
        groups: bounds (n, GROUP, K).
        highest: (n, K) of each group.
        k: at most n.
    """
    best = highest.T.contiguous().topk(k, dim=1).indices.T  # (k, K)
    within = groups.gather(0, best[:, None].expand(-1, GROUP, -1)).argmax(dim=1)
    found = torch.zeros(len(groups) * GROUP, dtype=torch.bool)
    found[(best * GROUP + within).flatten()] = True
    return found.nonzero()[:, 0]


def _reaching(groups: Tensor, highest: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (n,) that reach what is known (K,) of any query, and by how much (n, K); bounds as `_promising`."""
    some = (highest >= known).any(dim=1).nonzero()[:, 0]
    excess = groups.index_select(0, some).sub_(known)
    found = (excess.amax(dim=2).flatten() >= 0.0).nonzero()[:, 0]
    return some[found // GROUP] * GROUP + found % GROUP, excess.flatten(0, 1).index_select(0, found)
