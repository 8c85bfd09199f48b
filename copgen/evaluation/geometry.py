"""What embeddings look like without labels: effective rank, alignment, uniformity.

Legend: N images, D dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rank_me(features: Tensor) -> float:
    """The effective rank of features (N, D), from 1 to min(N, D) (RankMe, Garrido et al. 2023).

    It is exp of the entropy of the singular values, as shares of their sum: small if the features have collapsed onto
    few directions. The features are not centred.
    """
    values = torch.linalg.svdvals(features.double())
    shares = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))


def alignment(h: Tensor, h_pos: Tensor) -> float:
    """The mean squared distance of positives on the sphere, 0 to 4: lower is closer (Wang and Isola 2020).

    Args:
        h, h_pos: embeddings (N, D); row k of both is a pair. They are normalised here.
    """
    return float((F.normalize(h.double(), dim=1) - F.normalize(h_pos.double(), dim=1)).square().sum(dim=1).mean())


def uniformity(h: Tensor) -> float:
    """log of the mean over pairs of exp(-2 distance^2), -8 to 0: lower is more uniform (Wang and Isola 2020).

    Args:
        h: embeddings (N, D), N >= 2; they are normalised here.
    """
    unit = F.normalize(h.double(), dim=1)
    squared = (2.0 - 2.0 * (unit @ unit.T)).clamp(min=0.0)
    count = len(unit) * (len(unit) - 1)
    others = torch.exp(-2.0 * squared).sum() - torch.exp(-2.0 * squared.diagonal()).sum()
    return float(torch.log(others / count))
