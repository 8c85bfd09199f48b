"""How different anchors are from each other: effective rank, nearest neighbours, near-duplicates.

Legend: N anchors, D feature dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.evaluation.geometry import rank_me
from copgen.evaluation.neighbours import neighbours


@dataclass(frozen=True, eq=False)
class Diversity:
    """Of anchors.

    Attributes:
        effective_rank: RankMe of their features, 1 to min(N, D).
        most: min(N, D).
        nearest: (N,) distance of each to its nearest other anchor, 1 - cosine, 0 to 2; empty for a single anchor.
        near_duplicates: (N,) bool: that distance is at most the threshold.
    """

    effective_rank: float
    most: int
    nearest: Tensor
    near_duplicates: Tensor


def diversity(features: Tensor, *, duplicate: float) -> Diversity:
    """Compare anchors with each other; memory does not depend on N squared.

    Args:
        features: (N, D) of the anchors.
        duplicate: distance up to which an anchor is a near-duplicate of another.
    """
    nearest = nearest_others(features)
    return Diversity(rank_me(features), min(features.shape), nearest, nearest <= duplicate)


def nearest_others(features: Tensor) -> Tensor:
    """The distance 1 - cosine of each row (N, D) to its nearest other row, (N,) float32; empty if there is none."""
    if len(features) < 2:
        return features.new_empty(0)
    similarity, rows = neighbours(features.float(), features.float(), k=2)
    own = rows[:, 0] == torch.arange(len(features), device=rows.device)
    # A row is nearest to itself, unless others are equal to it.
    return (1.0 - torch.where(own, similarity[:, 1], similarity[:, 0])).clamp(min=0.0)
