"""The turn of f's loss: its smoothed value has not fallen for a while (appendix B, 'Termination of the training').

This is when T_z starts to win; on the authors' published curve it is where they stopped by eye (docs/stopping.md). The
navigator that counts is that of the minimum, not that of its detection.

The smoothed value is an exponential mean, which lags behind. On the published curve its minimum comes a quarter of the
half-life late or more, so the navigator kept is one of a quarter of the half-life before the mean's minimum. The mean
counts from one half-life on: before that it rests on a few losses, and a single low one would look like a minimum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor

HALF_LIFE, PATIENCE = 40_000, 80_000  # samples; chosen on the published curve, docs/stopping.md
EARLIER = 0.25  # of the half-life: how long before the mean's minimum the kept navigator was
RING = 16  # navigators kept for each half-life


def half_life_of(samples: int) -> int:
    """The half-life, in samples, of a run that draws so many: `HALF_LIFE`, or a tenth of the run."""
    return max(1, min(HALF_LIFE, samples // 10))


class LossTurn:
    """Watches the smoothed loss of f; keeps the navigator of its minimum.

    Args:
        batch: samples of an update.
        half_life: of a loss's weight in the exponential mean, in samples.
        patience: how many samples the mean must not have fallen below its minimum for the turn to count.

    Attributes:
        minimum: the lowest smoothed loss, nats.
        minimum_update: the number of updates at it.
        chosen_update: the number of updates of the navigator that is kept, or would be if there were weights.
        best: its weights.
    """

    def __init__(self, *, batch: int, half_life: int, patience: int) -> None:
        self.decay: float = 0.5 ** (batch / half_life)
        self.warm_up = math.ceil(half_life / batch)  # updates, like all of these
        self.patience = math.ceil(patience / batch)
        self.earlier = round(EARLIER * half_life / batch)
        self.spacing = max(1, round(half_life / batch / RING))
        self.updates = 0
        self.biased_mean = 0.0
        self.minimum = float("inf")
        self.minimum_update = self.chosen_update = 0
        self.best: dict[str, Tensor] = {}
        self.recent: dict[str, dict[str, Tensor]] = {}  # by number of updates, which a checkpoint keeps as text

    def smoothed(self) -> float:
        """The exponential mean so far, in nats, without the bias of its start."""
        return self.biased_mean / (1.0 - self.decay**self.updates)

    def closeness(self) -> float:
        """The share of the patience since the minimum; 0 before the mean counts."""
        return (self.updates - self.minimum_update) / self.patience if math.isfinite(self.minimum) else 0.0

    def watch(self, loss: float, weights: Mapping[str, Tensor]) -> bool:
        """Take the loss of one update (nats) and the navigator's weights after it; True when the loss has turned."""
        self.updates += 1
        self.biased_mean = self.decay * self.biased_mean + (1.0 - self.decay) * loss
        if weights and (self.updates % self.spacing == 0 or self.earlier == 0):
            self._keep(weights)
        if self.updates < self.warm_up:
            return False
        mean = self.smoothed()
        if mean < self.minimum:
            self.minimum, self.minimum_update = mean, self.updates
            self.chosen_update = max(1, self.updates - self.earlier)
            if self.recent:
                oldest = next(iter(self.recent))
                self.chosen_update = int(oldest)
                self.best = {name: tensor.clone() for name, tensor in self.recent[oldest].items()}
        return self.updates - self.minimum_update >= self.patience

    def _keep(self, weights: Mapping[str, Tensor]) -> None:
        """Add these weights, and drop those from before the ones that a minimum now would choose."""
        self.recent[str(self.updates)] = {name: tensor.detach().clone() for name, tensor in weights.items()}
        names = [*self.recent]
        for name, following in pairwise(names):
            if int(following) <= self.updates - self.earlier:
                del self.recent[name]

    def state_dict(self) -> dict[str, Any]:
        names = ("updates", "biased_mean", "minimum", "minimum_update", "chosen_update", "best", "recent")
        state = {name: getattr(self, name) for name in names}
        return state if math.isfinite(self.minimum) else {**state, "minimum": None}  # a checkpoint has no infinity

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, float("inf") if value is None else value)
