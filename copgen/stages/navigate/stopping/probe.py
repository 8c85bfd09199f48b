"""The few-label accuracy of f on real images: the stop rule that asks what the encoder is trained for.

f, as the game has trained it so far, is frozen, and a few labelled images classify others. As long as T_z moves latents
within the meaning of their image, f learns to ignore what does not matter; when T_z goes beyond, f has to ignore what
does. So the accuracy has a maximum, which needs no threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.evaluation.nearest_mean import nearest_mean_top1
from copgen.latents.navigator import Navigator
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.check import Check
from copgen.stages.navigate.stopping.loss_turn import half_life_of
from copgen.stages.navigate.stopping.names import PROBE
from copgen.stages.navigate.stopping.probe_images import ProbeImages

CHECKS = 3  # without a better one, at least: the accuracy of a single check is noisy


class Probe(Check):
    """Watches the few-label accuracy of f; keeps the navigator of the check at which it was best, the first of equals.

    Args:
        settings: of the run.
        T_z: the navigator before its first update.
        images: what is asked.
        embed: f's features (K, D) of images (K, C, S, S), without an effect on f.
        ranks: the processes that share a batch; they act on the same accuracy.
    """

    name, metric = PROBE, "probe_top1"

    def __init__(
        self,
        settings: NavigateSettings,
        T_z: Navigator,
        images: ProbeImages,
        embed: Callable[[Tensor], Tensor],
        ranks: Ranks,
    ) -> None:
        super().__init__(T_z, every=settings.check_every)
        self.images, self.embed, self.ranks = images, embed, ranks
        self.batch = settings.batch  # a check needs no more memory than an update
        patience = settings.probe_patience or max(CHECKS * self.every, 2 * half_life_of(settings.samples))
        self.patience = math.ceil(patience / settings.batch)
        self.top1 = -1.0

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of the labelled images."""
        return {f"probe's {name}": digest for name, digest in self.images.inputs.items()}

    def measured(self, T_z: Navigator) -> dict[str, Tensor]:
        """The accuracy, `probe_top1`."""
        labelled = self.images.labelled
        features = self._features(labelled.flatten(0, 2)).view(*labelled.shape[:3], -1)
        top1 = nearest_mean_top1(features, self._features(self.images.queries), self.images.classes)
        return {self.metric: self.ranks.mean(top1)}

    def _features(self, images: Tensor) -> Tensor:
        return torch.cat([self.embed(some) for some in torch.split(images, self.batch)])

    def judged(self, metrics: Mapping[str, float], updates: int) -> tuple[bool, bool]:
        """A higher accuracy than all before is the best; none for the patience ends the run."""
        if metrics[self.metric] > self.top1:
            self.top1 = metrics[self.metric]
            return True, False
        return False, updates - self.chosen_update >= self.patience

    def closeness(self, metrics: Mapping[str, float], updates: int) -> float:
        """The share of the patience since the best check."""
        return (updates - self.chosen_update) / self.patience

    def signals(self, batch: int) -> dict[str, Any]:
        """What was asked, and the best answer."""
        checked = self.chosen_update > 0
        return {
            "measure": self.images.text,
            "best": self.top1 if checked else None,
            "chosen": self.chosen_update * batch if checked else None,
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "top1": self.top1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.top1 = state["top1"]
