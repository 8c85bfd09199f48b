"""What ends a run of navigate: its last sample, the bound delta on d(z, z'), or the turn of f's loss."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from copgen.stages.navigate.settings import NavigateSettings
from copgen.training.stop_rules import TurnDetector


class Stopping:
    """The stop rule that the settings name. It watches f's loss for its turn whichever that is, and logs its mean."""

    def __init__(self, settings: NavigateSettings) -> None:
        self.name = settings.stop
        self.allowed = allowed_violations(settings)
        self.turn = TurnDetector(smoothing=settings.turn_smoothing, rise=settings.turn_rise)

    def refuses(self, metrics: Mapping[str, float]) -> bool:
        """Algorithm 1 returns before the update that violates delta, and learns nothing from it."""
        return self.name == "delta" and metrics["violations"] > self.allowed

    def watch(self, metrics: dict[str, float], weights: Mapping[str, Tensor]) -> bool:
        """Whether the loss of f has turned, where that is the rule; adds `loss_smoothed`."""
        turned = self.turn.watch(metrics["loss_encoder"], weights)
        metrics["loss_smoothed"] = self.turn.smoothed()
        return self.name == "loss-turn" and turned


def allowed_violations(settings: NavigateSettings) -> int:
    """How many pairs of a batch may be further apart than delta, so that the share that must keep to it does."""
    K = settings.batch
    return next(over for over in range(K, -1, -1) if (K - over) / K >= settings.delta_share)
