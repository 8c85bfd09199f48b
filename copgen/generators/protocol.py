"""What a generator is to the rest of copgen: frozen, in evaluation mode, differentiable in z."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from copgen.generators.conditions import Conditions
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.errors import UsageError


class Generator(nn.Module, ABC):
    """G: z (N, latent_dim), with its condition where there is one, to images (N, C, H, W) in [-1, 1].

    Attributes:
        name: the registry name.
        weights_sha256: of the file that the weights came from; of the published one, where that was converted.
        made_by: what its file records of its making.
        settings: what else decides its images: truncation, precision, how it is inverted, which conditions.
        latent_blocks: coordinates in each block of z, for a generator that feeds them to different depths; empty for
            one that takes z whole.
        condition_kind: class, instance; None for an unconditional generator.
        conditions: how many classes or instances its conditions are numbers of; 0 where they are no numbers, or none.
        condition_rule: how they are drawn.
        compiles: whether torch.compile can see through it.
    """

    name: str
    latent_dim: int
    image_size: int
    channels: int
    prior: Prior
    weights_sha256: str
    made_by: Mapping[str, Any]
    settings: Mapping[str, bool | int | float | str | None]
    latent_blocks: tuple[int, ...] = ()
    condition_kind: str | None = None
    conditions: int = 0
    condition_rule: Conditions = Conditions()
    compiles: bool = True

    def train(self, mode: bool = True) -> Self:
        """Nothing: a generator stays in evaluation mode, whatever module it is put into."""
        return super().train(False)

    @property
    def parameter_count(self) -> int:
        """How many numbers were learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def sample_prior(self, indices: philox.Rows, seed: int) -> Tensor:
        """z (N, latent_dim), float32 on the generator's device; row k is a function of (seed, indices[k])."""
        held = next(itertools.chain(self.parameters(), self.buffers()), None)
        device = held.device if held is not None else None
        return self.prior.draw(indices, dim=self.latent_dim, seed=seed, device=device)

    def choose_conditions(self, rule: Conditions) -> None:
        """Draw conditions in this way from now on.

        Raises:
            UsageError: it has none, or not the ones that are named.
        """
        if rule == self.condition_rule:
            return
        if not self.conditions:
            why = "draws them itself" if self.condition_kind else "has none"
            raise UsageError(f"Conditions were chosen, but the generator '{self.name}' {why}.", fix="Leave them out.")
        rule.check(self.conditions, name=self.name, kind=self.condition_kind or "condition")
        self.condition_rule = rule
        self.settings = {**self.settings, **rule.settings}

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor | None:
        """The condition that both images of a pair share; None for an unconditional generator."""
        return None

    def describe_condition(self, condition: Tensor) -> list[dict[str, Any]]:
        """What the metadata of each pair say of its condition (N, ...): its class, its instance."""
        return [{"condition": row} for row in condition.tolist()]

    def segments(self) -> list[nn.Module]:
        """The modules that an image passes one after the other, whose activations may be made again for a gradient."""
        return [self]

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, channels, image_size, image_size) in [-1, 1]."""
