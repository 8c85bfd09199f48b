"""The architecture of a Residual Flow, as settings: read without torch."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FlowNetwork(BaseModel):
    """The architecture of a Residual Flow, for images of any size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocks: tuple[int, ...] = Field(
        default=(16, 16, 16), min_length=1, description="convolutional blocks at each scale"
    )
    width: int = Field(default=512, ge=1, description="channels inside a convolutional block")
    linear_blocks: int = Field(default=4, ge=0, description="blocks of linear layers on the flat vector")
    linear_width: int = Field(default=128, ge=1, description="width inside such a block")
    coeff: float = Field(default=0.98, gt=0, lt=1, description="Lipschitz bound of each layer")
    logit_alpha: float = Field(default=1e-6, gt=0, lt=0.5, description="squash of pixels before the logit")

    def check_size(self, side: int) -> None:
        """Check that images of this many pixels a side can be halved from scale to scale.

        Raises:
            ValueError: they cannot.
        """
        if side % 2 ** (len(self.blocks) - 1):
            raise ValueError(f"{side} pixels a side cannot be halved {len(self.blocks) - 1} times, between the scales")

    def on(self, *, channels: int, image_size: int) -> FlowConfig:
        """This architecture for images (channels, image_size, image_size); errors as `check_size`."""
        return FlowConfig(**self.model_dump(), channels=channels, image_size=image_size)


class FlowConfig(FlowNetwork):
    """The architecture of a Residual Flow, with the shape of its images."""

    channels: int = Field(default=1, ge=1, description="image channels")
    image_size: int = Field(default=8, ge=2, description="pixels a side")

    @model_validator(mode="after")
    def _scales(self) -> Self:
        self.check_size(self.image_size)
        return self

    @property
    def latent_dim(self) -> int:
        """Coordinates of z: one per pixel."""
        return self.channels * self.image_size**2
