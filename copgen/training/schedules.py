"""Learning-rate schedules: functions of the update number only, so that a resumed run needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then a cosine from the peak down to a fraction of it (Loshchilov and Hutter 2017).

    Attributes:
        peak: the largest learning rate.
        updates: of the whole run; the cosine starts with the first, not after the warm-up.
        final: the last learning rate, as a fraction of the peak.
        warmup: updates to reach the peak; 1: no warm-up.
    """

    peak: float
    updates: int
    final: float = 0.0
    warmup: int = 1

    def __call__(self, update: int) -> float:
        """The learning rate of an update, from 0."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * update / self.updates))
        return self.peak * min(1.0, (update + 1) / self.warmup) * (self.final + (1.0 - self.final) * cosine)


@dataclass(frozen=True)
class Steps:
    """Linear warm-up, then the peak, divided by 10 at each step; `WarmupMultiStepLR` of detectron2.

    Attributes:
        peak: the largest learning rate.
        steps: the updates from which on it is divided.
        warmup: updates until the peak.
        start: the first learning rate, as a fraction of the peak.
        factor: of a step.
    """

    peak: float
    steps: tuple[int, ...]
    warmup: int
    start: float = 1e-3
    factor: float = 0.1

    def __call__(self, update: int) -> float:
        """The learning rate of an update, from 0."""
        part = min(1.0, update / self.warmup)
        passed = sum(update >= step for step in self.steps)
        return self.peak * (self.start * (1.0 - part) + part) * self.factor**passed


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The same rate for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr
