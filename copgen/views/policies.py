"""View policies: the parameters of T_x, the data-space augmentation (which augmentations, how often, how strong).

A policy is a list of parts; a part that is None is skipped. The order is fixed: affine, crop with flip and resize,
colour jitter, grayscale, blur, normalisation. With RandAugment it is InfoMin's: jitter, blur, RandAugment, grayscale.
Images are in [0, 1] up to the normalisation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from copgen.runtime import settings
from copgen.runtime.errors import unknown

DiffAugmentation = Literal["colour", "translation", "cutout"]  # of a GAN's training (diff_augment.py), no part of T_x


def _ordered(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if not 0 < low <= high:
        raise ValueError(f"({low}, {high}) is not a range (low, high) with 0 < low <= high")
    return interval


Interval = Annotated[tuple[float, float], AfterValidator(_ordered)]


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AffinePolicy(_Parameters):
    """A random rotation, translation and scale about the image's centre (appendix D)."""

    degrees: float = Field(default=10.0, ge=0, le=180, description="largest rotation either way, degrees; appendix D")
    translate: float = Field(
        default=0.1, ge=0, le=1, description="largest shift either way, fraction of the side; appendix D"
    )
    scale: Interval = Field(default=(0.9, 1.1), description="range of magnification, factor; appendix D")
    fill: float = Field(
        default=0.0, ge=0, le=1, description="value outside the image, in [0, 1]; 0 is the background of digits"
    )


class CropPolicy(_Parameters):
    """A random box, resized to the output (the 'random resized crop' of SimCLR)."""

    area: Interval = Field(
        default=(0.2, 1.0), description="range of the box, fraction of the image's area; authors' code"
    )
    aspect: Interval = Field(
        default=(3 / 4, 4 / 3), description="range of width / height, log-uniform; torchvision's default"
    )

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.area[1] > 1:
            raise ValueError(f"area up to {self.area[1]} is larger than the image")
        return self


class JitterPolicy(_Parameters):
    """Random brightness, contrast, saturation and hue, in random order, all four or none."""

    probability: float = Field(default=0.8, ge=0, le=1, description="share of images that are jittered; authors' code")
    brightness: float = Field(default=0.4, ge=0, le=1, description="factor in 1 +- this; authors' code")
    contrast: float = Field(default=0.4, ge=0, le=1, description="factor in 1 +- this; authors' code")
    saturation: float = Field(default=0.4, ge=0, le=1, description="factor in 1 +- this; authors' code")
    hue: float = Field(
        default=0.1, ge=0, le=0.5, description="shift in +- this, turns of the colour circle; authors' code"
    )


class BlurPolicy(_Parameters):
    """A random Gaussian blur."""

    probability: float = Field(
        default=0.5, ge=0, le=1, description="share of images that are blurred; SimCLR, appendix A"
    )
    sigma: Interval = Field(
        default=(0.1, 2.0), description="range of the filter's standard deviation, pixels; SimCLR, appendix A"
    )
    kernel: float = Field(
        default=0.1, gt=0, le=1, description="length of the filter, fraction of the side; SimCLR, appendix A"
    )


class RandAugmentPolicy(_Parameters):
    """Random operations of RandAugment, as InfoMin uses it; not differentiable."""

    layers: int = Field(default=2, ge=1, description="operations in a row; InfoMin (PyContrast): 2")
    magnitude: float = Field(default=10.0, ge=0, le=10, description="level of the strengths; InfoMin: 10")
    noise: float = Field(
        default=0.5, ge=0, description="standard deviation of the level, which is clipped to [0, 10]; InfoMin: 0.5"
    )
    probability: float = Field(default=0.5, ge=0, le=1, description="share of operations that happen; InfoMin: 0.5")
    fill: tuple[float, ...] = Field(
        default=(0.485, 0.456, 0.406), min_length=1, description="value outside the image; InfoMin: ImageNet's mean"
    )


class Normalisation(_Parameters):
    """(value - mean) / std for each channel."""

    mean: tuple[float, ...] = Field(default=(0.485, 0.456, 0.406), min_length=1, description="in [0, 1]; ImageNet's")
    std: tuple[float, ...] = Field(default=(0.229, 0.224, 0.225), min_length=1, description="in [0, 1]; ImageNet's")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels, std has {len(self.std)}")
        if min(self.std) <= 0:
            raise ValueError(f"std {self.std} must be positive")
        return self


class Policy(_Parameters):
    """T_x: the parts of the augmentation and their parameters."""

    name: str = Field(description="name, for error messages")
    affine: AffinePolicy | None = Field(default=None, description="rotation, translation, scale")
    crop: CropPolicy | None = Field(default=None, description="random resized crop")
    centre: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="without a random crop: side of a central box, of the largest with the shape of the views",
    )
    flip: float = Field(default=0.0, ge=0, le=1, description="share of images mirrored left to right")
    jitter: JitterPolicy | None = Field(default=None, description="colour jitter")
    grayscale: float = Field(default=0.0, ge=0, le=1, description="share of images that lose their colour")
    blur: BlurPolicy | None = Field(default=None, description="Gaussian blur")
    rand_augment: RandAugmentPolicy | None = Field(default=None, description="RandAugment's operations")
    normalise: Normalisation | None = Field(default=None, description="the last step")
    size: int | None = Field(default=None, ge=1, description="side of a view, pixels; None keeps the image's size")
    antialias: bool = Field(
        default=True,
        description="antialias when a resize shrinks, as PIL and torchvision >= 0.17 do; the authors' navigator "
        "(torchvision 0.8, tensors) did not",
    )

    @model_validator(mode="after")
    def _one_crop(self) -> Self:
        if self.crop is not None and self.centre is not None:
            raise ValueError("'crop' and 'centre' exclude each other; set one of them to None")
        return self

    @property
    def differentiable(self) -> bool:
        """Whether gradients reach the images."""
        return self.rand_augment is None


_CENTRE = 0.875  # 112 of 128 pixels
_SIMCLR = Policy(
    name="simclr", crop=CropPolicy(), flip=0.5, jitter=JitterPolicy(), grayscale=0.2, normalise=Normalisation()
)
_POLICIES = {
    numbers.name: numbers
    for numbers in (
        Policy(name="mnist", affine=AffinePolicy()),
        Policy(name="none"),
        _SIMCLR,
        _SIMCLR.model_copy(update={"name": "simclr-authors", "antialias": False}),
        _SIMCLR.model_copy(update={"name": "simclr-blur", "blur": BlurPolicy()}),
        _SIMCLR.model_copy(update={"name": "simclr-no-crop", "crop": None, "centre": _CENTRE}),
        _SIMCLR.model_copy(update={"name": "simclr-no-colour", "jitter": None, "grayscale": 0.0}),
        Policy(name="centre", centre=_CENTRE, normalise=Normalisation()),
        _SIMCLR.model_copy(
            update={
                "name": "infomin",
                "jitter": JitterPolicy(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
                "blur": BlurPolicy(),
                "rand_augment": RandAugmentPolicy(),
            }
        ),
    )
}


def names() -> list[str]:
    """The names that `policy` knows.

    mnist (appendix D), none, simclr ("SimCLR Aug.", the authors' code), simclr-authors (the same without antialiasing,
    as their navigator ran it), simclr-blur (with the blur of SimCLR, which the authors left out), the ablations of
    their pretraining simclr-no-crop (the centre, 112 of 128 pixels, instead of a random crop), simclr-no-colour
    (neither jitter nor grayscale) and centre (nothing but the centre), and infomin (InfoMin Aug., with RandAugment).
    """
    return sorted(_POLICIES)


def policy(name: str, **changes: Any) -> Policy:
    """A policy by name, optionally with changes: `policy("simclr", flip=0, jitter={"hue": 0.2})`.

    Args:
        changes: fields of `Policy`. A dict changes the fields it names, and adds a part that the policy does not have
            with the defaults of the rest; None removes a part.

    Raises:
        UsageError: unknown policy or field (the error gives the nearest name), or an invalid value.
    """
    if name not in _POLICIES:
        raise unknown("view policy", name, _POLICIES)
    numbers = _POLICIES[name]
    if not changes:
        return numbers
    # `merge` treats None as not given, so parts that are removed are left out here.
    kept = {field: value for field, value in numbers.model_dump().items() if changes.get(field, value) is not None}
    return settings.build(Policy, settings.merge(kept, changes), origin=f"view policy '{name}'")
