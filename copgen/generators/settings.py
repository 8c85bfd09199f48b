"""Which generator a stage works on, and how it is loaded: the settings that `navigate` and `sample` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from copgen import generators
from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import SPEED, WHAT
from copgen.runtime.settings import Settings

if TYPE_CHECKING:
    import torch

Row = Annotated[int, Field(ge=0)]


class GeneratorChoice(Settings):
    """The generator of a stage; what is unset is the generator's own."""

    exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("truncation_scale", "prior=normal"),
        ("truncation_threshold", "prior=normal"),
    )

    generator: str = setting(text="A generator's name, such as digits.", flag=Flag(WHAT, "NAME", "-g"))
    weights: Path | None = setting(
        None, text="Its weights, if not the ones that come with it.", flag=Flag(WHAT, "FILE")
    )
    instances: Path | None = setting(
        None, text="Stored instances of an IC-GAN, if not with its weights.", flag=Flag(WHAT, "FILE")
    )
    prior: Literal["normal", "truncated_normal"] | None = setting(None, text="Distribution of z, of a GAN.")
    truncation_scale: float | None = setting(
        None,
        text="Factor on a truncated normal, of GANs.",
        source="BigGAN-deep's batch statistics go with it",
        former=("truncation",),
        gt=0,
        le=1,
        flag=Flag(WHAT, "T"),
    )
    truncation_threshold: float | None = setting(
        None, text="Bound of a truncated normal before the factor.", unit="standard deviations", gt=0
    )
    inverse: Literal["tight", "reference"] | None = setting(
        None,
        text="Inverse of a flow: tight per item, or reference.",
        source="reference: the published code's rule for a batch",
        flag=Flag(WHAT, "RULE"),
    )
    precision: Literal["float32", "bfloat16", "float64"] = setting(
        "float32",
        text="Arithmetic: float32, bf16 or float64.",
        source="images are float32 in bfloat16 too",
        spellings={"bf16": "bfloat16"},
        flag=Flag(SPEED, "NAME"),
    )
    memory_format: Literal["contiguous", "channels_last"] = setting("contiguous", text="Of its convolutions.")
    conditions: Literal["uniform", "balanced"] = setting(
        "uniform", text="Classes or instances: uniform, or balanced counts.", flag=Flag(WHAT, "RULE")
    )
    condition_list: tuple[Row, ...] | None = setting(
        None, text="Only these: 1,5,9 or 0-99, or a file of them.", min_length=1, flag=Flag(WHAT, "ROWS")
    )

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
