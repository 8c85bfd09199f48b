"""Exact nearest neighbours with less arithmetic: bank rows that cannot be among the k nearest are left out.

A product of a few coordinates bounds that of all (leading_axes.py). Products of all D coordinates are computed only
where the bound reaches the k-th best product that is known. Two searches do so, as the dispatcher says:

native     pruned_pairs.py: of the pairs of a query and a row that reach it; float32
reference  pruned_blocks.py: of the rows that reach it for any of 64 queries that are alike

Features of encoders gain severalfold, isotropic noise nothing: then, and where the bounds turn out to be loose, the
plain product takes over.

Rounding: with unit roundoff u, a product of n coordinates of vectors of length 1 is off by at most n u / (1 - n u), in
any order of summation (Higham 2002, section 3.1). The margin of a search is that of D coordinates for the known product
plus that of the rounded ones of the bounds, so that no row of the exact k nearest is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from copgen.evaluation.leading_axes import principal_axes
from copgen.evaluation.pruned_blocks import BlockSearch, Nearest, block_search
from copgen.evaluation.pruned_pairs import PairSearch, pair_search
from copgen.runtime.dispatch import choose

BLOCK = 16_384  # queries that are given at once
FEWEST = {"rows": 8192, "queries": 2048, "dims": 256}  # below, the plain product is as fast


def pruned_search(
    bank: Tensor, queries: int, k: int, plain: Callable[[Tensor], Nearest]
) -> PairSearch | BlockSearch | None:
    """The search in a bank of unit vectors, or None if the plain product is as fast.

    Args:
        bank: (N, D), of length 1, or less.
        queries: how many there are.
        k: how many neighbours, at most N.
        plain: finds them in the plain way, as the search does: from unit vectors (M, D) products (M, k) and rows (M, k)
            int64, nearest first.
    """
    N, D = bank.shape
    large = FEWEST["rows"] <= N and queries >= FEWEST["queries"] and FEWEST["dims"] <= D
    if not large or bank.device.type != "cpu" or bank.dtype not in (torch.float32, torch.float64):
        return None
    if not bool(bank.sum().isfinite()):
        return None
    return search_in(bank, k, plain)


def search_in(bank: Tensor, k: int, plain: Callable[[Tensor], Nearest]) -> PairSearch | BlockSearch | None:
    """The search that the dispatcher chooses for a bank of finite numbers on the CPU; None if its bounds are loose."""
    native = choose("nearest rows", bank.device, bank.dtype).name == "native"
    return (pair_search if native else block_search)(bank, *principal_axes(bank), k, plain)
