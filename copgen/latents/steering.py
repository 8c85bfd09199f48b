"""Steering as a latent transform: z' = z + a walk for random edits, one for each pair (GenRep; appendix E)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.latents.genrep import GENREP_GAIN
from copgen.latents.walks import Walk
from copgen.runtime import philox


@dataclass(frozen=True)
class Steering:
    """z' that imitates a random edit of the image, by a trained walk.

    Attributes:
        walk: the trained walk.
        seed, which: decide the edits of positive number `which`.
        gain: factor on the 3-D rotation (GenRep: 5), for walks that have one.
    """

    walk: Walk
    seed: int
    gain: float = GENREP_GAIN
    which: int = 0

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        with torch.no_grad():
            moved: Tensor = self.walk(z, seed=self.seed, rows=indices, which=self.which, gain=self.gain)
        return moved
