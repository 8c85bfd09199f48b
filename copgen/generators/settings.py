"""Which generator a stage works on, and how it is loaded: the settings that `navigate` and `sample` share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from copgen import generators
from copgen.runtime.settings import Settings

if TYPE_CHECKING:
    import torch


class GeneratorChoice(Settings):
    """The generator of a stage; what is unset is the generator's own."""

    generator: str = Field(description="a generator's name")
    weights: Path | None = Field(default=None, description="its weights file; unset takes the known one")
    instances: Path | None = Field(default=None, description="stored instances of an IC-GAN, if not with its weights")
    prior: Literal["normal", "truncated_normal"] | None = Field(default=None, description="distribution of z, of a GAN")
    truncation_scale: float | None = Field(
        default=None, gt=0, le=1, description="factor on a truncated normal; BigGAN-deep's statistics go with it"
    )
    truncation_threshold: float | None = Field(
        default=None, gt=0, description="bound of a truncated normal before the factor"
    )
    inverse: Literal["tight", "reference"] | None = Field(
        default=None, description="of a flow: each item until it is tight, or the batch by the published code's rule"
    )
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        default="float32", description="in which it runs; images are float32 in bfloat16 too"
    )
    memory_format: Literal["contiguous", "channels_last"] = Field(
        default="contiguous", description="of its convolutions"
    )

    conditions: Literal["uniform", "balanced"] = Field(
        default="uniform", description="classes or instances of pairs: each drawn alone, or all equally often"
    )
    condition_list: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, min_length=1, description="the classes or instances to draw from; unset takes all"
    )

    @classmethod
    def contradicted(cls, below: Mapping[str, Any], over: Mapping[str, Any]) -> frozenset[str]:
        """A normal prior is not truncated: who says one of the two does not mean the other that a lower layer has."""
        truncation = frozenset({"truncation_scale", "truncation_threshold"})
        if over.get("prior") == "normal":
            return truncation
        truncates = any(over.get(name) is not None for name in truncation)
        normal = below.get("prior") == "normal" and over.get("prior") is None
        return frozenset({"prior"}) if truncates and normal else frozenset()

    def load_generator(self, device: torch.device) -> generators.Generator:
        """The generator, frozen, on the device; errors as `generators.load`."""
        from copgen.generators.conditions import Conditions  # settings are read without torch

        return generators.load(
            self.generator,
            weights=self.weights,
            instances=self.instances,
            prior=self.prior,
            truncation=self.truncation_scale,
            threshold=self.truncation_threshold,
            inverse=self.inverse,
            precision=self.precision,
            memory_format=self.memory_format,
            conditions=Conditions(rule=self.conditions, only=self.condition_list),
            device=device,
        )


def terms(G: generators.Generator) -> str | None:
    """What the user has to know of the terms of its weights; None where they forbid nothing."""
    licence = str(G.made_by.get("licence", ""))
    return f"The weights of '{G.name}' are under {licence}." if "non-commercial" in licence else None
