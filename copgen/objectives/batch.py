"""The arguments of a loss: as its operator takes them, and as its kernels take them.

K pairs, N labelled rows, M further negatives, D embedding dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class InfoNCECall(NamedTuple):
    """The arguments of the operator `copgen::info_nce`, checked; `learnt` replaces `temperature` if there is one."""

    h: Tensor
    h_pos: Tensor
    negatives: Tensor | None
    learnt: Tensor | None
    temperature: float
    both: bool
    normalized: bool
    mean: bool

    @property
    def given(self) -> list[Tensor]:
        """h, h_pos and, if there are any, the further negatives."""
        return [self.h, self.h_pos] if self.negatives is None else [self.h, self.h_pos, self.negatives]

    @property
    def tau(self) -> float | Tensor:
        """The temperature."""
        return temperature_of(self.learnt, self.temperature)


@dataclass(frozen=True)
class Pairs:
    """Unit rows that InfoNCE contrasts; `_all` are those of all ranks, of which this rank's begin at `offset`.

    Attributes:
        units: h and h_pos (K, D) and, if there are any, further negatives (M, D).
        lengths: of their rows before the normalisation; empty if they were given with length 1.
        h_all, h_pos_all: the same objects as h and h_pos for a single rank.
        both: whether the rows of h_pos are contrasted, too.
        bounded: whether no row is longer than 1.
        dtype: what the gradients are cast to.
    """

    units: Sequence[Tensor]
    lengths: Sequence[Tensor]
    h_all: Tensor
    h_pos_all: Tensor
    offset: int
    both: bool
    temperature: float | Tensor
    bounded: bool
    dtype: torch.dtype

    @property
    def negatives(self) -> Tensor | None:
        """The further negatives, if there are any."""
        return self.units[2] if len(self.units) > 2 else None

    @property
    def alone(self) -> bool:
        """Whether there is a single rank, so that rows and columns are the same."""
        return self.h_all is self.units[0]


@dataclass(frozen=True)
class Labelled:
    """Unit rows z (N, D) that SupCon contrasts, with their labels (N,); see `Pairs`."""

    z: Tensor
    length: Tensor | None
    labels: Tensor
    z_all: Tensor
    labels_all: Tensor
    offset: int
    temperature: float | Tensor
    bounded: bool
    dtype: torch.dtype


def split_temperature(temperature: float | Tensor) -> tuple[Tensor | None, float]:
    """The learnt temperature and the fixed one, of which an operator reads the second if the first is None."""
    return (temperature, 0.0) if isinstance(temperature, Tensor) else (None, float(temperature))


def temperature_of(learnt: Tensor | None, temperature: float) -> float | Tensor:
    """The temperature of a call: the learnt tensor if there is one."""
    return temperature if learnt is None else learnt.detach().reshape(())
