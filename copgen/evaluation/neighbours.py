"""Nearest-neighbour classification on frozen features (Wu et al. 2018): no training, no hyper-parameter but k.

The k bank features most similar to a query (cosine s) vote for their classes with weight exp(s / temperature). Queries
and bank are compared block by block, so that memory does not depend on the size of either.

Legend: N bank images, M queries, D feature dimension, k neighbours, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.runtime.errors import UsageError

QUERIES, BANK = 1024, 16_384  # in a block
TEMPERATURE = 0.07


def neighbours(bank: Tensor, queries: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """The k most similar bank rows of each query, most similar first.

    Args:
        bank: (N, D) features, floating point.
        queries: (M, D), same dtype and device.
        k: at most N.

    Returns:
        Cosines (M, k), and rows of the bank (M, k) int64.

    Raises:
        UsageError: k is larger than the bank, or less than 1.
    """
    if not 1 <= k <= len(bank):
        raise UsageError(f"k = {k} neighbours of a bank of {len(bank)} images.", fix="Choose k from 1 to that.")
    unit = F.normalize(bank, dim=1)
    found = [_of_block(unit, F.normalize(block, dim=1), k) for block in torch.split(queries, QUERIES)]
    similarity, rows = zip(*found, strict=True)
    return torch.cat(similarity), torch.cat(rows)


def _of_block(bank: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    similarity = queries.new_empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(bank), BANK):
        block = bank[start : start + BANK]
        best, places = (queries @ block.T).topk(min(k, len(block)), dim=1)
        similarity, kept = torch.cat((similarity, best), dim=1).topk(min(k, similarity.shape[1] + best.shape[1]), dim=1)
        rows = torch.cat((rows, places + start), dim=1).gather(1, kept)
    return similarity, rows


def knn_top1(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    labels: Tensor,
    *,
    ks: Sequence[int],
    temperature: float = TEMPERATURE,
) -> dict[int, float]:
    """Top-1 accuracy in 0..1 of the weighted vote for each k; a k above the size of the bank takes all of it.

    Args:
        bank, queries: features (N, D) and (M, D).
        bank_labels, labels: their classes (N,) and (M,), int64, 0 or more.
        ks: numbers of neighbours.
        temperature: of the votes; DINO and the paper's peers: 0.07.
    """
    classes = int(max(bank_labels.max(), labels.max())) + 1
    similarity, rows = neighbours(bank, queries, k=min(max(ks), len(bank)))
    weights = (similarity / temperature).softmax(dim=1)  # the largest exponent is taken off: no overflow
    voted = bank_labels.to(rows.device)[rows]
    found = {}
    for k in ks:
        votes = weights.new_zeros(len(queries), classes).scatter_add_(1, voted[:, :k], weights[:, :k])
        found[k] = float((votes.argmax(dim=1) == labels.to(votes.device)).double().mean())
    return found
