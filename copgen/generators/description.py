"""What a generator is, without its weights in memory: all that a plan says of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from copgen.latents.prior import Prior


class Description(BaseModel):
    """A generator as it was loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the registry name")
    weights_sha256: str = Field(description="of the file that the weights came from")
    settings: dict[str, bool | int | float | str | None] = Field(description="what else decides its images")
    prior: Prior
    latent_dim: int
    channels: int
    image_size: int
