"""Few-label classification without a fit: the class whose mean feature is nearest (SimpleShot, Wang et al. 2019).

Features are centred at the mean of the labelled ones and divided by their length; then a query belongs to the nearest
of the class means. There is nothing to choose and nothing to converge, it stays on the device, and it is a function of
the features alone.

Legend: R draws, W classes, L labels of each class, N queries, D feature dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def nearest_mean_top1(labelled: Tensor, queries: Tensor, classes: Tensor) -> Tensor:
    """The share of queries that are nearest to the mean of their class, (), float64; the mean over the draws.

    Args:
        labelled: (R, W, L, D), the features of R draws of L labels of each class.
        queries: (N, D).
        classes: (N,) int64, of the queries, 0 to W - 1.
    """
    labelled, queries = labelled.double(), queries.double()
    centre = labelled.flatten(0, 2).mean(dim=0)
    means = F.normalize(labelled - centre, dim=-1).mean(dim=2)
    distances = torch.cdist(F.normalize(queries - centre, dim=-1).expand(len(means), -1, -1), means)
    return (distances.argmin(dim=2) == classes).double().mean()
