"""The interface of a rule that ends training before its updates are used up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

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
