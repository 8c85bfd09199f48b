"""The architecture of the navigator: its form, its width, the latent blocks that it moves, and its randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

from pydantic import Field

from copgen import generators
from copgen.latents.blocks import Span, spans_of
from copgen.runtime.declaration import Flag, setting
from copgen.runtime.errors import UsageError
from copgen.runtime.panels import TRAINING
from copgen.runtime.settings import Settings

if TYPE_CHECKING:
    from copgen.latents.navigator import Form


class Shape(TypedDict):
    """Arguments of `new_navigator`."""

    form: Form
    hidden: int
    spans: tuple[Span, ...] | None
    noise_dim: int
    random_sign: bool
    centred: bool
    output_bias: bool


class NavigatorShape(Settings):
    """The settings of `copgen navigate` for the form of T_z."""

    form: Literal["nonlinear", "linear"] = setting(
        "nonlinear",
        text="T_z: nonlinear (with a ReLU) or linear.",
        source="authors: nonlinear; linear: z + W2 W1 z",
        flag=Flag(TRAINING, "FORM"),
    )
    hidden: int | None = setting(None, text="Hidden units of T_z, instead of hidden_ratio.", ge=1)
    hidden_ratio: float = setting(
        1.0,
        text="Coordinates per hidden unit of T_z.",
        source="authors' reduction_ratio: 1",
        gt=0,
        flag=Flag(TRAINING, "R"),
    )
    blocks: tuple[Annotated[int, Field(ge=0)], ...] | None = setting(
        None, text="Latent blocks that T_z moves, such as 1-5.", min_length=1, flag=Flag(TRAINING, "ROWS")
    )

    output_bias: bool = setting(
        True,
        text="Learn the output bias of T_z.",
        source="authors: yes; without it, docs/navigate.md",
        flag=Flag(TRAINING),
    )
    center: bool = setting(
        False,
        text="Subtract the mean of T_z(z) over the batch.",
        source="ours; of the saved navigator, the mean over the prior",
        flag=Flag(TRAINING),
    )
    noise_dim: int = setting(
        0,
        text="Noise inputs of T_z beside z, such as 16.",
        source="ours: positives are then a distribution",
        ge=0,
        le=65_536,
        flag=Flag(TRAINING, "COUNT"),
    )
    random_sign: bool = setting(
        False, text="Move each latent by +T_z(z) or -T_z(z) at random.", source="ours", flag=Flag(TRAINING)
    )

    def shape_for(self, G: generators.Generator) -> Shape:
        """The arguments of `new_navigator`.

        Raises:
            UsageError: a block that the generator does not have, or a width of zero.
        """
        sizes = G.latent_blocks or (G.latent_dim,)
        spans = spans_of(self.blocks, sizes, name=G.name)
        moved = G.latent_dim if spans is None else sum(stop - start for start, stop in spans)
        hidden = self.hidden or int(moved / self.hidden_ratio)
        if hidden < 1:
            raise UsageError(
                f"A hidden_ratio of {self.hidden_ratio:g} gives no hidden units for {moved} coordinates.",
                fix=f"Set hidden_ratio to {moved} or less.",
            )
        return Shape(
            form=self.form,
            hidden=hidden,
            spans=spans,
            noise_dim=self.noise_dim,
            random_sign=self.random_sign,
            centred=self.center,
            output_bias=self.output_bias,
        )
