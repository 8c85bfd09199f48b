"""The architecture of a Residual Flow, as settings: read without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FlowConfig(BaseModel):
    """The architecture of a Residual Flow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(default=1, ge=1, description="image channels")
    image_size: int = Field(default=8, ge=2, description="pixels a side")
    blocks: tuple[int, ...] = Field(default=(16, 16, 16), description="convolutional blocks at each scale")
    width: int = Field(default=512, ge=1, description="channels inside a convolutional block")
    linear_blocks: int = Field(default=4, ge=0, description="blocks of linear layers on the flat vector")
    linear_width: int = Field(default=128, ge=1, description="width inside such a block")
    coeff: float = Field(default=0.98, gt=0, lt=1, description="Lipschitz bound of each layer")
    logit_alpha: float = Field(default=1e-6, gt=0, lt=0.5, description="squash of pixels before the logit")

    @property
    def latent_dim(self) -> int:
        """Coordinates of z: one per pixel."""
        return self.channels * self.image_size**2
