"""When a navigate run stops: at its last sample, when d(z, z') exceeds delta, or when f's loss turns upwards.

`delta` is the early return of Algorithm 1: the first update at which d(z, z') > delta for more than the allowed share
of the batch. `loss-turn` ends with the turn of f's loss (turn.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.turn import TurnDetector


class Stopping:
    """The stop rule of the settings. Under any rule, it tracks f's loss and logs its smoothed value."""

    def __init__(self, settings: NavigateSettings) -> None:
        self.name = settings.stop
        self.allowed = allowed_violations(settings)
        self.turn = TurnDetector(smoothing=settings.turn_smoothing, rise=settings.turn_rise)

    def refuses(self, metrics: Mapping[str, float]) -> bool:
        """Skip the update that violates delta: Algorithm 1 returns before it."""
        return self.name == "delta" and metrics["violations"] > self.allowed

    def watch(self, metrics: dict[str, float], weights: Mapping[str, Tensor]) -> bool:
        """Whether the loss of f has turned, under that rule; adds `loss_smoothed`."""
        turned = self.turn.watch(metrics["loss_encoder"], weights)
        metrics["loss_smoothed"] = self.turn.smoothed()
        return self.name == "loss-turn" and turned


def allowed_violations(settings: NavigateSettings) -> int:
    """The number of pairs of a batch that may exceed delta while the required share is within it."""
    K = settings.batch
    return next(over for over in range(K, -1, -1) if (K - over) / K >= settings.delta_share)
