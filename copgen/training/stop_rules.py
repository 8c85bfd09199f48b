"""When training ends before its updates are used up: the interface of a rule, and the detection of an upward turn.

navigate has the rules (stages/navigate/stopping.py). Its `loss-turn` (appendix B, section 'Termination') ends when the
smoothed loss of f has turned upwards, which is when T_z starts to win; on the authors' published curve that is where
they stopped by eye. It returns the navigator of the minimum, not that of its detection.

The mean counts from update 1 / (1 - smoothing) on. Before that it rests on a few losses, and a single low one among
them would look like a minimum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor


class StopRule(Protocol):
    """Sees the metrics of every update in order, as they are read from the device."""

    @property
    def name(self) -> str:
        """What the summary says of a run that it ended."""

    def refuses(self, metrics: Mapping[str, float]) -> bool:
        """Whether this update must not count: the run ended before it, and nothing was learned from it."""

    def watch(self, metrics: dict[str, float], weights: Mapping[str, Tensor]) -> bool:
        """Whether this update is the last one; may add to its metrics, which are logged then."""


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
