"""Figures that stay on the device while updates go on, and are fetched together: one wait for many updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """What was noted of one update.

    Attributes:
        update: its number, from 0.
        values: its figures by name.
        weights: a copy of the weights after it, still on the device; empty unless they were asked for.
    """

    update: int
    values: dict[str, float]
    weights: Mapping[str, Tensor]


class Readings:
    """Keeps the figures of up to `every` updates on the device."""

    def __init__(self, *, every: int) -> None:
        self.every = every
        self._names: tuple[str, ...] = ()
        self._kept: list[tuple[int, Tensor, Mapping[str, Tensor]]] = []

    def note(self, update: int, figures: Mapping[str, Tensor], *, weights: Mapping[str, Tensor] | None = None) -> None:
        """Keep scalars of an update, and a copy of weights; nothing waits for the device."""
        self._names = tuple(figures)
        values = torch.stack([value.detach().double() for value in figures.values()])
        copies = {name: tensor.detach().clone() for name, tensor in (weights or {}).items()}
        self._kept.append((update, values, copies))

    @property
    def full(self) -> bool:
        """Whether it is time to read."""
        return len(self._kept) >= self.every

    def read(self) -> list[Reading]:
        """All that was noted since the last time, in order, by one transfer."""
        kept, self._kept = self._kept, []
        if not kept:
            return []
        rows = torch.stack([values for _, values, _ in kept]).tolist()
        return [
            Reading(update, dict(zip(self._names, row, strict=True)), weights)
            for (update, _, weights), row in zip(kept, rows, strict=True)
        ]
