"""The turn of f's loss: when its smoothed value has risen above its minimum (appendix B, section 'Termination').

This is when T_z starts to win; on the authors' published curve it is where they stopped by eye. The navigator that
counts is that of the minimum, not that of its detection.

The mean counts from update 1 / (1 - smoothing) on. Before that it rests on a few losses, and a single low one among
them would look like a minimum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class TurnDetector:
    """Watches the smoothed loss of f; keeps the navigator of its minimum.

    Args:
        smoothing: weight of the past in the exponential mean, per update, in [0, 1).
        rise: how far, in nats, the mean must be above its minimum for the turn to count.
    """

    def __init__(self, *, smoothing: float, rise: float) -> None:
        self.smoothing = smoothing
        self.rise = rise
        self.updates = 0
        self.biased_mean = 0.0
        self.minimum = float("inf")
        self.minimum_update = 0
        self.best: dict[str, Tensor] = {}

    def smoothed(self) -> float:
        """The exponential mean so far, in nats, without the bias of its start."""
        return self.biased_mean / (1.0 - self.smoothing**self.updates)

    def watch(self, loss: float, weights: Mapping[str, Tensor]) -> bool:
        """Take the loss of one update (nats) and the navigator's weights after it; True when the loss has turned."""
        self.updates += 1
        self.biased_mean = self.smoothing * self.biased_mean + (1.0 - self.smoothing) * loss
        if self.updates < round(1.0 / (1.0 - self.smoothing)):
            return False
        mean = self.smoothed()
        if mean < self.minimum:
            self.minimum, self.minimum_update = mean, self.updates
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
        return mean > self.minimum + self.rise

    def state_dict(self) -> dict[str, Any]:
        names = ("updates", "biased_mean", "minimum", "minimum_update", "best")
        state = {name: getattr(self, name) for name in names}
        return state if math.isfinite(self.minimum) else {**state, "minimum": None}  # a checkpoint has no infinity

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, float("inf") if value is None else value)
