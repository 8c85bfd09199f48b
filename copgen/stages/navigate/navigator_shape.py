"""What kind of navigator is learned: its form, its width, and the latent blocks that it moves."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pydantic import Field

from copgen import generators
from copgen.latents.blocks import Span, spans_of
from copgen.latents.navigator import Form
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import Settings


class Shape(TypedDict):
    """Arguments of `new_navigator`."""

    form: Form
    hidden: int
    spans: tuple[Span, ...] | None


class NavigatorShape(Settings):
    """The settings of `copgen navigate` that say what T_z is."""

    form: Literal["nonlinear", "linear"] = Field(
        default="nonlinear", description="of T_z: with a ReLU (authors), or z + W2 W1 z without (the authors' other)"
    )
    hidden: int | None = Field(default=None, ge=1, description="hidden units of T_z; unset goes by hidden_ratio")
    hidden_ratio: float = Field(
        default=1.0, gt=0, description="moved coordinates per hidden unit of T_z (authors' reduction_ratio: 1)"
    )
    blocks: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, min_length=1, description="latent blocks that T_z sees and moves; unset takes all"
    )

    def shape_for(self, G: generators.Generator) -> Shape:
        """What `new_navigator` is asked for.

        Raises:
            UsageError: a block that the generator does not have, or no hidden unit left.
        """
        sizes = G.latent_blocks or (G.latent_dim,)
        spans = spans_of(self.blocks, sizes, name=G.name)
        moved = G.latent_dim if spans is None else sum(stop - start for start, stop in spans)
        hidden = self.hidden or int(moved / self.hidden_ratio)
        if hidden < 1:
            raise UsageError(
                f"A hidden ratio of {self.hidden_ratio:g} leaves no hidden unit for {moved} coordinates.",
                fix=f"Give at most {moved}.",
            )
        return Shape(form=self.form, hidden=hidden, spans=spans)
