"""What a generator is to the rest of copgen: frozen, in evaluation mode, differentiable in z."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from copgen.latents.prior import Prior
from copgen.runtime import philox


class Generator(nn.Module, ABC):
    """G: z (N, latent_dim), with its condition where there is one, to images (N, C, H, W) in [-1, 1].

    Attributes:
        name: the registry name.
        weights_sha256: of the file that the weights came from.
        made_by: what its file records of its making; empty for foreign files.
    """

    name: str
    latent_dim: int
    image_size: int
    channels: int
    prior: Prior
    weights_sha256: str
    made_by: Mapping[str, Any]

    def sample_prior(self, indices: philox.Rows, seed: int) -> Tensor:
        """z (N, latent_dim), float32 on the generator's device; row k is a function of (seed, indices[k])."""
        device = next(self.parameters()).device
        return self.prior.draw(indices, dim=self.latent_dim, seed=seed, device=device)

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor | None:
        """The condition that both images of a pair share; None for an unconditional generator."""
        return None

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, channels, image_size, image_size) in [-1, 1]."""
