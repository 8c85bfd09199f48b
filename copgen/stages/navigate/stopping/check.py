"""A check of the navigator at an interval: what the rules `perceptual` and `probe` share.

Its metrics stay on the device and are read some updates later, so the weights of each check wait until then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from copgen.latents.navigator import Navigator


class Check(ABC):
    """Looks at the navigator every so many samples; keeps that of the best check.

    Args:
        T_z: the navigator before its first update.
        every: samples between two checks.

    Attributes:
        name: of the stop rule.
        metric: its metric that tells whether a check was made.
        chosen_update: the number of updates of the navigator that is kept; 0 before the first check.
        best: its weights.
    """

    name: ClassVar[str]
    metric: ClassVar[str]

    def __init__(self, T_z: Navigator, *, every: int) -> None:
        self.every = every
        self.unread: list[tuple[int, dict[str, Tensor]]] = []  # number of updates, weights at the check
        self.chosen_update = 0
        self.best = _copied(T_z)

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of what it reads, by name."""
        return {}

    def due(self, samples: range) -> bool:
        """Whether to check after the update with these samples."""
        return samples.stop // self.every > samples.start // self.every

    @torch.no_grad()
    def look(self, T_z: Navigator, updates: int) -> dict[str, Tensor]:
        """The metrics of a check after so many updates, each () and still on the device."""
        self.unread.append((updates, _copied(T_z)))
        return self.measured(T_z)

    def ends(self, metrics: Mapping[str, float]) -> bool:
        """Whether the rule would end the run at the check with these metrics; checks are read in their order."""
        updates, weights = self.unread.pop(0)
        best, ends = self.judged(metrics, updates)
        if best:
            self.chosen_update, self.best = updates, weights
        return ends

    @abstractmethod
    def measured(self, T_z: Navigator) -> dict[str, Tensor]:
        """The metrics of `look`."""

    @abstractmethod
    def judged(self, metrics: Mapping[str, float], updates: int) -> tuple[bool, bool]:
        """Whether the check after so many updates is the best so far, and whether the run should end with it."""

    @abstractmethod
    def closeness(self, metrics: Mapping[str, float], updates: int) -> float:
        """How close the rule is to ending the run, at the check with these metrics that was judged last: 1 ends it."""

    @abstractmethod
    def signals(self, batch: int) -> dict[str, Any]:
        """What it says at the end of a run, for the summary."""

    def state_dict(self) -> dict[str, Any]:
        return {"chosen_update": self.chosen_update, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chosen_update, self.best = state["chosen_update"], state["best"]


def _copied(T_z: Navigator) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in T_z.state_dict().items()}
