"""The architecture of a small GAN, as settings: read without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SMALLEST, LARGEST = 4, 7  # pixels a side of the first feature map


class GanConfig(BaseModel):
    """The architecture of a small GAN.

    Feature maps start with 4 to 7 pixels a side and double up to half the image; the last layer doubles once more.
    Channels double where the resolution halves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent_dim: int = Field(default=64, ge=1, le=4096, description="coordinates of z")
    width: int = Field(default=32, ge=1, le=1024, description="channels of G at half the image size")
    discriminator_width: int = Field(default=32, ge=1, le=1024, description="channels of D at half the image size")
    most_channels: int = Field(default=256, ge=1, le=4096, description="at any resolution")

    def channels(self, image_size: int, *, width: int) -> tuple[int, ...]:
        """Channels of the feature maps of a network, in the order of `resolutions`."""
        sides = resolutions(image_size)
        return tuple(min(self.most_channels, width * (sides[-1] // side)) for side in sides)


def resolutions(image_size: int) -> tuple[int, ...]:
    """Pixels a side of the feature maps, from the first to half the image: 28 -> (7, 14), 64 -> (4, 8, 16, 32).

    Raises:
        ValueError: the size is not 4, 5, 6 or 7 times a power of two, or less than 8.
    """
    sides = [image_size]
    while sides[0] > LARGEST and sides[0] % 2 == 0:
        sides.insert(0, sides[0] // 2)
    if len(sides) < 2 or not SMALLEST <= sides[0] <= LARGEST:
        raise ValueError(f"{image_size} pixels a side are not 4, 5, 6 or 7 times a power of two, as 28, 32 and 64 are")
    return tuple(sides[:-1])
