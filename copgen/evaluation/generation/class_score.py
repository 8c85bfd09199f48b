"""The Inception Score (Salimans et al. 2016): exp of the mean of KL(p(y | x) || p(y)) over images.

High if each image has one clear class, and all classes occur. It does not look at real images. Only with Inception's
classes it is called by this name.

Legend: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, pstdev

import torch
from torch import Tensor

SPLITS = 10  # of the published scores


@dataclass(frozen=True)
class ClassScore:
    """Over equal splits of the images, in their order.

    Attributes:
        mean: from 1 to C.
        std: population standard deviation over the splits, as it is published.
    """

    mean: float
    std: float


def class_score(parts: Iterable[Tensor], *, count: int, splits: int = SPLITS) -> ClassScore:
    """The score of logits that come in parts (K, C), of which one is in memory at a time.

    Args:
        parts: in a random order of the images.
        count: N in all, at least `splits`; each split takes N / splits of them, rounded down.
        splits: number of independent scores.
    """
    size = count // splits
    if not size:
        raise ValueError(f"{splits} splits of {count} images")
    ends = [size * (number + 1) for number in range(splits)]
    found: list[float] = []
    done, own, marginal = 0, 0.0, torch.zeros(0)
    for part in parts:
        logs = part.double().log_softmax(dim=1)
        at = 0
        while at < len(logs) and len(found) < splits:
            some = logs[at : at + ends[len(found)] - done]
            p = some.exp()
            own += float((p * some).sum())
            marginal = p.sum(dim=0) if not len(marginal) else marginal + p.sum(dim=0)
            at, done = at + len(some), done + len(some)
            if done == ends[len(found)]:
                share = marginal / size
                found.append(float(torch.exp(own / size - torch.special.xlogy(share, share).sum())))
                own, marginal = 0.0, torch.zeros(0)
    if len(found) != splits:
        raise ValueError(f"{done} images instead of {count}")
    return ClassScore(fmean(found), pstdev(found))
