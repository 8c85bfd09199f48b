"""The target network of BYOL and the key encoder of MoCo: a copy of f that follows it as a moving average.

After every update, with f's weights theta and the target's xi,

    xi <- m xi + (1 - m) theta.

The momentum m is constant, or grows from m_0 to 1 along a cosine (BYOL, section 3.3):

    m_k = 1 - (1 - m_0) (cos(pi k / updates) + 1) / 2.

All ranks have the same f, so they have the same target, without communication.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal

import torch

from copgen.methods.branch import Branch
from copgen.training.ema import average_into

MomentumSchedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Momentum:
    """m as a function of the update k, from 0.

    Attributes:
        start: m_0, in [0, 1].
        schedule: "constant" or "cosine".
        updates: of the whole run, for "cosine".
    """

    start: float
    schedule: MomentumSchedule = "constant"
    updates: int = 1

    def __call__(self, update: int) -> float:
        """m after the optimizer step of an update."""
        if self.schedule == "constant":
            return self.start
        return 1.0 - (1.0 - self.start) * 0.5 * (1.0 + math.cos(math.pi * update / self.updates))


def target_of(f: Branch) -> Branch:
    """A copy of f's backbone and projector, without gradients."""
    return copy.deepcopy(Branch(f.backbone, f.projector)).requires_grad_(False)


@torch.no_grad()
def follow(target: Branch, f: Branch, *, momentum: float) -> None:
    """xi <- m xi + (1 - m) theta; the statistics of batch norms, which training does not use, are f's."""
    for mean, new in zip(target, f, strict=False):  # f has a predictor, too
        average_into(mean, new, decay=momentum)
