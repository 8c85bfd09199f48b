"""The k nearest rows, natively on the CPU: pairs of a query and a row of the bank are left out.

The operator `nearest_rows` (csrc/cpu/nearest_rows.cpp) compares bounds while they are in registers, with the k-th best
product of each query so far, and computes the product of all coordinates of the pairs that reach it. A block of queries
that are alike begins with the regions of the bank that are most like it, so that much is known early.

Legend: N bank rows, M queries, D dimension, m leading axes, k neighbours, R regions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from copgen.evaluation.leading_axes import alike, coordinates_of, mean_of_each
from copgen.evaluation.pruned_blocks import Nearest

QUERIES, REGION = 128, 1024  # that are alike: queries of a block, rows of the bank beside each other
LEADING = (1 / 32, 1 / 16, 3 / 32, 1 / 8, 3 / 16, 1 / 4)  # m is the first of these shares of D ...
REST, FLAT = 0.15, 0.5  # ... beyond which lies at most this share of the squares; that from which on it does not pay
TRIED, BLOCKS = 8, 32  # blocks after which it is asked first, and from then on, whether it pays
LOOSE = 0.4  # the share of all products above which it does not: one alone takes as long as two in a matrix product
_OPS: Any = torch.ops.copgen


def pair_search(
    bank: Tensor, axes: Tensor, beyond: Tensor, k: int, plain: Callable[[Tensor], Nearest]
) -> PairSearch | None:
    """The search in a bank, or None if its spectrum is too flat.

    Args:
        bank: (N, D) of length 1 or less, float32.
        axes, beyond: `principal_axes` of it.
        k, plain: as `pruned_search`.
    """
    sizes = [round(share * bank.shape[1]) for share in LEADING]
    m = next((m for m in sizes if beyond[m - 1] <= REST), sizes[-1])
    if beyond[m - 1] > FLAT:
        return None
    axes = axes[:, :m].contiguous()
    (coarse,) = coordinates_of(bank, axes, (m,))
    order = torch.cat(alike(coarse, REGION))
    bank, coarse = bank.index_select(0, order), coarse.index_select(0, order)
    return PairSearch(bank, order, axes, coarse, mean_of_each(coarse, REGION), k, plain)


@dataclass(eq=False)
class PairSearch:
    """The k nearest rows of a bank.

    Attributes:
        bank: (N, D), rows that are alike together.
        order: (N,) int64, which rows these are.
        axes: (D, m) float64, orthonormal.
        coarse: (N, m + 1), `coordinates_of` the bank.
        centres: (R, m + 1), means of its regions.
        k, plain: as `pruned_search`.
        compared: the share of the products that was computed, of each block of queries so far.
    """

    bank: Tensor
    order: Tensor
    axes: Tensor
    coarse: Tensor
    centres: Tensor
    k: int
    plain: Callable[[Tensor], Nearest]
    compared: list[float] = field(default_factory=list)

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
        (coarse,) = coordinates_of(queries, self.axes, (self.axes.shape[1],))
        blocks = alike(coarse, QUERIES)
        while blocks and self.pays:
            count = BLOCKS if len(self.compared) >= TRIED else TRIED
            some, blocks = torch.cat(blocks[:count]), blocks[count:]
            similarity[some], rows[some] = self._nearest(queries[some], coarse[some])
        if blocks:
            some = torch.cat(blocks)
            similarity[some], rows[some] = self.plain(queries[some])
        return similarity, rows

    def _nearest(self, queries: Tensor, coarse: Tensor) -> Nearest:
        """Of whole blocks of queries."""
        visits = (mean_of_each(coarse, QUERIES) @ self.centres.T).argsort(dim=1, descending=True)
        similarity, rows, compared = _OPS.nearest_rows.default(
            self.bank, self.coarse, queries, coarse, visits, QUERIES, REGION, self.k, self.margin
        )
        self.compared += (compared / (QUERIES * len(self.bank))).tolist()
        return similarity, self.order[rows]
