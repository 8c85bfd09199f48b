"""The generator of a stage and how it is loaded: settings that `navigate` and `sample` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from copgen import generators
from copgen.generators.by_file import with_weights
from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import INPUT, SPEED
from copgen.runtime.settings import Settings

if TYPE_CHECKING:
    import torch

Row = Annotated[int, Field(ge=0)]


class GeneratorChoice(Settings):
    """The generator of a stage; what is unset is the generator's default."""

    exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("truncation_scale", "prior=normal"),
        ("truncation_threshold", "prior=normal"),
    )

    generator: str = setting(text="Generator, such as digits; or its file or run.", flag=Flag(INPUT, "NAME", "-g"))
    weights: Path | None = setting(None, text="Weights file, instead of the default.", flag=Flag(INPUT, "FILE"))
    instances: Path | None = setting(None, text="Instance features of an IC-GAN (.npy).", flag=Flag(INPUT, "FILE"))
    prior: Literal["normal", "truncated_normal"] | None = setting(None, text="Prior of z (GANs).")
    truncation_scale: float | None = setting(
        None,
        text="Scale of the truncated normal (GANs).",
        source="selects BigGAN-deep's batch statistics",
        former=("truncation",),
        gt=0,
        le=1,
        flag=Flag(INPUT, "T"),
    )
    truncation_threshold: float | None = setting(
        None, text="Bound of the truncated normal, before scaling.", unit="standard deviations", gt=0
    )
    inverse: Literal["tight", "reference"] | None = setting(
        None,
        text="Inverse of a flow: tight or reference.",
        source="tight: per item; reference: the published code, per batch",
        flag=Flag(INPUT, "RULE"),
    )
    precision: Literal["float32", "bfloat16", "float64"] = setting(
        "float32",
        text="float32, bf16 or float64.",
        source="images are float32 in bfloat16, too",
        spellings={"bf16": "bfloat16"},
        flag=Flag(SPEED, "NAME"),
    )
    memory_format: Literal["contiguous", "channels_last"] = setting(
        "contiguous", text="Memory format of the convolutions."
    )
    conditions: Literal["uniform", "balanced"] = setting(
        "uniform", text="Sampling of classes: uniform or balanced.", flag=Flag(INPUT, "RULE")
    )
    condition_list: tuple[Row, ...] | None = setting(
        None, text="Only these classes: 1,5,9 or 0-99 or a file.", min_length=1, flag=Flag(INPUT, "ROWS")
    )

    @classmethod
    def layer(cls, tree: Mapping[str, Any], *, tell: Callable[[str, str], None] | None = None) -> dict[str, Any]:
        """A layer of settings; the path of a generator is replaced by its name and its weights."""
        return with_weights(super().layer(tree, tell=tell))

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
    """A note on the licence of its weights; None unless it is non-commercial."""
    licence = str(G.made_by.get("licence", ""))
    return f"The weights of '{G.name}' are under {licence}." if "non-commercial" in licence else None
