"""A pool of latents: the images among which the transform `nearest` looks for positives.

Latent j is a sample of the prior, a function of (seed, j) in a stream of its own: no anchor is in the pool. Conditions
are dealt in turn, so that each has as many latents as any other: of C conditions, latent j has number j mod C.

Legend: N latents of the pool, C conditions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.device_copies import to_device

STREAM = "latents/pool"


@dataclass(frozen=True)
class Pool:
    """Latents and their conditions.

    Attributes:
        prior: of the latents.
        dim: coordinates of a latent.
        seed: of the run.
        count: N.
        conditions: rows of the generator's table of conditions, in the order in which they are dealt; empty without.
    """

    prior: Prior
    dim: int
    seed: int
    count: int
    conditions: tuple[int, ...] = ()

    @property
    def stride(self) -> int:
        """From a latent to the next of the same condition: C, or 1."""
        return max(1, len(self.conditions))

    @property
    def fewest(self) -> int:
        """The number of latents of the condition that has fewest."""
        return self.count // self.stride

    def latents(self, numbers: philox.Rows, device: torch.device) -> Tensor:
        """z (K, dim) of these numbers in the pool."""
        return self.prior.draw(numbers, dim=self.dim, seed=self.seed, stream=STREAM, device=device)

    def condition(self, numbers: philox.Rows, device: torch.device) -> Tensor | None:
        """Their conditions (K,) int64; None without."""
        if not self.conditions:
            return None
        return self._dealt(device)[philox.as_rows(numbers, device) % self.stride]

    def first(self, condition: Tensor | None) -> Tensor | None:
        """The first number in the pool that has each of these conditions (K,); None without."""
        if condition is None:
            return None
        dealt = self._dealt(condition.device)
        order = dealt.argsort()
        return order[torch.searchsorted(dealt[order], condition.contiguous())]

    def _dealt(self, device: torch.device) -> Tensor:
        return to_device(torch.tensor(self.conditions), device)
