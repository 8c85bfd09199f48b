"""How often anchor and positive have the same label under a classifier.

A classifier errs, so that agreement is below 1 even if every label is kept: its own accuracy on real images is beside
it. The null level is the agreement with the positive of another pair: 1/C for C equally frequent classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """Shares in 0..1.

    Attributes:
        share: of the pairs, whose images have the same label.
        interval95: half the width of its 95 % interval (Wilson).
        null: the share for an anchor and the positive of another pair; None for a single pair.
        per_class: by the anchor's label; None without such an anchor.
        anchors: how many have each label.
        effective_classes: exp of the entropy of the anchors' labels: C if all are equally frequent.
    """

    share: float
    interval95: float
    null: float | None
    per_class: tuple[float | None, ...]
    anchors: tuple[int, ...]
    effective_classes: float


def agreement(labels: Tensor, positives: Tensor, *, classes: int) -> Agreement:
    """Compare labels.

    Args:
        labels, positives: of anchors and of their positives, (N,) int64, 0 to C - 1, in random order.
        classes: C.
    """
    kept = labels == positives
    anchors = torch.bincount(labels, minlength=classes)
    with_kept = torch.bincount(labels[kept], minlength=classes)
    frequencies = anchors.double() / len(labels)
    return Agreement(
        share=float(kept.double().mean()),
        interval95=wilson(int(kept.sum()), len(kept)),
        null=float((labels[1:] == positives[:-1]).double().mean()) if len(labels) > 1 else None,
        per_class=tuple(k / n if n else None for k, n in zip(with_kept.tolist(), anchors.tolist(), strict=True)),
        anchors=tuple(anchors.tolist()),
        effective_classes=float(torch.exp(-torch.special.xlogy(frequencies, frequencies).sum())),
    )


def wilson(kept: int, count: int, *, z: float = 1.959963984540054) -> float:
    """Half the width of Wilson's interval (1927) of a share; z = 1.96 for 95 %."""
    share = kept / count
    return z * math.sqrt(share * (1.0 - share) / count + z**2 / (4.0 * count**2)) / (1.0 + z**2 / count)
