"""Nearest-neighbour classification on frozen features (Wu et al. 2018): no training, no hyper-parameter but k.

The k bank features most similar to a query (cosine s) vote for their classes with weight exp(s / temperature). Queries
and bank are compared block by block, so that memory does not depend on the size of either; on the CPU, rows of a large
bank that cannot be among the nearest are left out (pruned_search.py). Of equal cosines, any may be taken.

Legend: N bank images, M queries, D feature dimension, k neighbours, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.evaluation.parts import Parts
from copgen.evaluation.pruned_blocks import Nearest
from copgen.evaluation.pruned_search import BLOCK, pruned_search
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
    search, size = _search(F.normalize(bank, dim=1), len(queries), k)
    found = [search(F.normalize(block, dim=1)) for block in torch.split(queries, size)]
    similarity, rows = zip(*found, strict=True)
    return torch.cat(similarity), torch.cat(rows)


def unit_(features: Tensor) -> Tensor:
    """Features (N, D), floating point, each divided by its length in place; without a copy of all of them."""
    for block in torch.split(features, BANK):
        block.copy_(F.normalize(block, dim=1))
    return features


def _search(bank: Tensor, queries: int, k: int) -> tuple[Callable[[Tensor], Nearest], int]:
    """How the k nearest rows of a bank of unit vectors are found for a block of such queries, and its size."""
    pruned = pruned_search(bank, queries, k, lambda block: _of_blocks(bank, block, k))
    return (partial(most_similar, bank, k=k), QUERIES) if pruned is None else (pruned, BLOCK)


def _of_blocks(bank: Tensor, queries: Tensor, k: int) -> Nearest:
    similarity, rows = zip(*(most_similar(bank, block, k) for block in torch.split(queries, QUERIES)), strict=True)
    return torch.cat(similarity), torch.cat(rows)


def most_similar(bank: Tensor, queries: Tensor, k: int) -> Nearest:
    """`neighbours` of rows of unit length; memory grows with the number of queries, but not with that of the bank."""
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
    ranked = knn_ranked(bank, bank_labels, queries, ks=ks, classes=classes, temperature=temperature, most=1)
    return {k: float((found[:, 0] == labels.cpu()).double().mean()) for k, found in ranked.items()}


def knn_ranked(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    *,
    ks: Sequence[int],
    classes: int,
    temperature: float = TEMPERATURE,
    most: int = 5,
    normalized: bool = False,
    parts: Parts | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[int, Tensor]:
    """For each k the classes with the most votes of each query, (M, min(most, C)) int64 on the CPU; -1 without a vote.

    Args:
        bank, queries: features (N, D) and (M, D).
        bank_labels: (N,) int64, 0 to C - 1.
        ks: numbers of neighbours; one above N takes the whole bank.
        classes: C.
        temperature: of the votes.
        most: classes of each query.
        normalized: whether bank and queries have length 1; otherwise a normalised copy of the bank is made.
        parts: where to resume from; None: nowhere.
        progress: called with the number of queries that are done.
    """
    voters, width = bank_labels.to(bank.device), min(most, classes)
    unit = bank if normalized else F.normalize(bank, dim=1)
    search, size = _search(unit, len(queries), min(max(ks), len(bank)))
    found = torch.empty(len(queries), len(ks), width, dtype=torch.int64)
    done = parts.resume(found) if parts is not None else 0
    for start in range(done, len(queries), size):
        block = queries[start : start + size]
        cosines, nearest = search(block if normalized else F.normalize(block, dim=1))
        weights = (cosines / temperature).softmax(dim=1)  # the largest exponent is taken off: no overflow
        for number, k in enumerate(ks):
            votes = weights.new_zeros(len(weights), classes)
            votes.scatter_add_(1, voters[nearest[:, :k]], weights[:, :k])
            most_votes = votes.topk(width, dim=1)
            ranked = most_votes.indices.masked_fill(most_votes.values <= 0, -1)
            found[start : start + len(block), number] = ranked.cpu()
        done = start + len(block)
        if parts is not None:
            parts.reached(found, done)
        if progress is not None:
            progress(done)
    return {k: found[:, number].contiguous() for number, k in enumerate(ks)}
