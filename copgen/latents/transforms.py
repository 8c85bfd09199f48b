"""Latent transforms: how the positive's latent z' comes from the anchor's z.

Each is a pure function of (seed, index) and its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from copgen.latents.navigator import Navigator
from copgen.latents.operations import draw_latents
from copgen.runtime import philox


class LatentTransform(Protocol):
    """(z, indices) -> z'."""

    def __call__(self, z: Tensor, indices: philox.Rows) -> Tensor:
        """z' (K, dim) for z (K, dim), whose rows have the given indices in the run."""


@dataclass(frozen=True)
class Identity:
    """z' = z: the two views of a pair differ by T_x alone (GenRep's 'none')."""

    def __call__(self, z: Tensor, indices: philox.Rows) -> Tensor:
        return z


@dataclass(frozen=True)
class Gaussian:
    """z' = z + std * e with e standard normal (appendix D, 'Gaussian baseline')."""

    std: float
    seed: int

    def __call__(self, z: Tensor, indices: philox.Rows) -> Tensor:
        dim = z.shape[1]
        noise = draw_latents(indices, dim=dim, seed=self.seed, stream="latents/gaussian", device=z.device)
        return z + self.std * noise.to(z.dtype)


@dataclass(frozen=True)
class Optimal:
    """z' = z + T_z(z) with a trained navigator."""

    navigator: Navigator

    def __call__(self, z: Tensor, indices: philox.Rows) -> Tensor:
        with torch.no_grad():
            moved: Tensor = self.navigator(z)
        return moved
