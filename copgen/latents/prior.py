"""Priors p(z), drawn by (seed, index): row k depends on the seed and on k alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from copgen.runtime import philox


class Prior(BaseModel):
    """The distribution of latents.

    `normal` is N(0, scale^2) in each coordinate. `truncated_normal` is a standard normal conditioned on
    |value| <= threshold, times the scale: each of the two meanings of "truncation" has its own field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["normal", "truncated_normal"] = "normal"
    scale: float = Field(default=1.0, gt=0, description="factor on the samples (flows call it temperature)")
    threshold: float = Field(default=2.0, gt=0, description="bound before scaling; for truncated_normal only")

    def draw(
        self,
        indices: philox.Rows,
        *,
        dim: int,
        seed: int,
        stream: str = "latents",
        device: torch.device | str | None = None,
    ) -> Tensor:
        """z (N, dim), float32; row k belongs to indices[k]. Draws of different streams are independent."""
        from copgen.latents.operations import draw_latents  # describing a prior does not import torch

        threshold = None if self.kind == "normal" else self.threshold
        return draw_latents(
            indices, dim=dim, seed=seed, scale=self.scale, threshold=threshold, stream=stream, device=device
        )

    @property
    def std(self) -> float:
        """The standard deviation of one coordinate; 0.880 for a normal truncated at 2."""
        return self.scale * (1.0 if self.kind == "normal" else truncated_std(self.threshold))


def truncated_std(threshold: float) -> float:
    """The standard deviation of a standard normal conditioned on |value| <= threshold: 0.880 for 2."""
    density = math.exp(-0.5 * threshold * threshold) / math.sqrt(2.0 * math.pi)
    return math.sqrt(1.0 - 2.0 * threshold * density / math.erf(threshold / math.sqrt(2.0)))
