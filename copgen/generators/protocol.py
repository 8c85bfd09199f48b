"""The interface of a generator: frozen, in evaluation mode, differentiable in z."""

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
    """G: z (N, latent_dim), and a condition if it is conditional, to images (N, C, H, W) in [-1, 1].

    Attributes:
        name: the registry name.
        weights_sha256: of the weights file; of the published one, if that was converted.
        made_by: provenance recorded in its file.
        settings: the other settings that change its images: truncation, precision, inversion, conditions.
        latent_blocks: coordinates in each block of z, for a generator that feeds blocks to different depths; empty
            otherwise.
        condition_kind: class, instance; None for an unconditional generator.
        conditions: number of classes or instances; 0 if it is unconditional or its conditions are not indices.
        condition_rule: how they are drawn.
        compiles: whether torch.compile supports it.
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
        """Does nothing: a generator stays in evaluation mode, whatever module contains it."""
        return super().train(False)

    @property
    def parameter_count(self) -> int:
        """Number of learned parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def sample_prior(self, indices: philox.Rows, seed: int) -> Tensor:
        """z (N, latent_dim), float32 on the generator's device; row k is a function of (seed, indices[k])."""
        held = next(itertools.chain(self.parameters(), self.buffers()), None)
        device = held.device if held is not None else None
        return self.prior.draw(indices, dim=self.latent_dim, seed=seed, device=device)

    def choose_conditions(self, rule: Conditions) -> None:
        """Set how conditions are drawn.

        Raises:
            UsageError: it has no conditions to choose, or one is out of range.
        """
        if rule == self.condition_rule:
            return
        if not self.conditions:
            why = "draws its conditions itself" if self.condition_kind else "has no conditions"
            raise UsageError(
                f"Conditions were given, but the generator '{self.name}' {why}.",
                fix="Leave out --conditions and --condition-list.",
            )
        rule.check(self.conditions, name=self.name, kind=self.condition_kind or "condition")
        self.condition_rule = rule
        self.settings = {**self.settings, **rule.settings}

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor | None:
        """The condition that both images of a pair share; None for an unconditional generator."""
        return None

    def describe_condition(self, condition: Tensor) -> list[dict[str, Any]]:
        """The entries in the metadata of each pair for its condition (N, ...): its class or instance."""
        return [{"condition": row} for row in condition.tolist()]

    def segments(self) -> list[nn.Module]:
        """The modules that run in sequence, each of which activation checkpointing may wrap."""
        return [self]

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, channels, image_size, image_size) in [-1, 1]."""
