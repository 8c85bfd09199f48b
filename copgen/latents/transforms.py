"""Latent transforms: how a positive's latent z' comes from the anchor's z (appendices D and E; GenRep).

none                z' = z
gaussian            z' = z + std e, e standard normal
gaussian-truncated  the same with e conditioned on |e| <= 2, as GenRep draws it: its standard deviation is 0.880 std
random              z' is a new sample of the prior; the pair shares only its condition
steering            z' = z + a walk that imitates edits of the image (`walks`)
optimal             z' = z + T_z(z) with a navigator

Each is a pure function of (seed, index) and its weights. `which` numbers the positives of an anchor: a stochastic
transform draws each from its own stream, so the first does not depend on how many follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from copgen.latents.navigator import Navigator
from copgen.latents.operations import draw_latents
from copgen.latents.prior import Prior, truncated_std
from copgen.latents.streams import stream_of
from copgen.runtime import philox


class LatentTransform(Protocol):
    """(z, condition, indices) -> z'."""

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        """z' (K, dim) for z (K, dim), whose rows have the given indices in the run and the given conditions."""


@dataclass(frozen=True)
class Identity:
    """z' = z: the two views of a pair differ only by T_x (GenRep's 'none')."""

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        return z


@dataclass(frozen=True)
class Gaussian:
    """z' = z + std * e with e standard normal (appendix D, 'Gaussian baseline'), or conditioned on |e| <= threshold."""

    std: float
    seed: int
    threshold: float | None = None
    which: int = 0

    @property
    def effective_std(self) -> float:
        """The standard deviation of a coordinate of z' - z: 0.176 for 0.2 truncated at 2."""
        return self.std if self.threshold is None else self.std * truncated_std(self.threshold)

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        stream = stream_of("gaussian" if self.threshold is None else "gaussian-truncated", self.which)
        noise = draw_latents(
            indices, dim=z.shape[1], seed=self.seed, threshold=self.threshold, stream=stream, device=z.device
        )
        return z + self.std * noise.to(z.dtype)


@dataclass(frozen=True)
class Random:
    """z' from the prior, independent of z: another sample of the same class or instance (appendix E.1)."""

    prior: Prior
    seed: int
    which: int = 0

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        stream = stream_of("random", self.which)
        return self.prior.draw(indices, dim=z.shape[1], seed=self.seed, stream=stream, device=z.device).to(z.dtype)


@dataclass(frozen=True)
class Optimal:
    """z' = z + T_z(z) with a trained navigator; seed and which decide the noise and signs of a stochastic one."""

    navigator: Navigator
    seed: int = 0
    which: int = 0

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        with torch.no_grad():
            moved: Tensor = self.navigator(z, seed=self.seed, rows=indices, which=self.which)
        return moved
