"""An exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def average_into(averaged: nn.Module, current: nn.Module, *, decay: float) -> None:
    """averaged <- decay * averaged + (1 - decay) * current for parameters; buffers are copied."""
    for mean, new in zip(averaged.parameters(), current.parameters(), strict=True):
        mean.lerp_(new, 1.0 - decay)
    for kept, buffer in zip(averaged.buffers(), current.buffers(), strict=True):
        kept.copy_(buffer)


def warmed_up(decay: float, update: int) -> float:
    """The decay at an update, from 0: small at first, so that the average quickly forgets the initial weights."""
    return min(decay, (update + 1) / (update + 10))
