"""The settings of `copgen generator fit` of a small GAN, with units and sources."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from copgen.generators.small_gan.config import GanConfig, resolutions
from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import TRAINING
from copgen.stages.generator.image_settings import FitImagesSettings
from copgen.training.length import batch_size
from copgen.views.policies import DiffAugmentation

STAGE = "generator fit gan"
Beta = Annotated[float, Field(ge=0, lt=1)]


class FitGanSettings(FitImagesSettings):
    """Settings of `copgen generator fit` of a small GAN."""

    stream: ClassVar[str] = "gan"

    network: GanConfig = setting(GanConfig(), text="Architecture.")
    batch: int = batch_size(64, ge=8)
    lr: float = setting(1e-3, text="Learning rate of both networks (Adam).", gt=0, flag=Flag(TRAINING, "RATE"))
    betas: tuple[Beta, Beta] = setting((0.0, 0.99), text="Betas of Adam.", source="StyleGAN")
    r1: float = setting(1.0, text="Weight gamma of the gradient penalty, gamma / 2 R1.", ge=0)
    r1_every: int = setting(
        16, text="Updates between two penalties, each weighted by as many.", unit="updates", source="StyleGAN2", ge=1
    )
    augmentations: tuple[DiffAugmentation, ...] = setting(
        ("colour", "translation", "cutout"),
        text="DiffAugment: colour,translation,cutout; or none.",
        source="Zhao et al. 2020",
        flag=Flag(TRAINING, "NAMES"),
    )
    ema: float = setting(0.998, text="Decay of the EMA of the weights of G.", ge=0, lt=1)

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.image_size is not None:
            self.check_size(self.image_size)
        if self.batch % 8:
            raise ValueError(f"batch = {self.batch} is not a multiple of 8, the group of D's variation")
        if len(set(self.augmentations)) < len(self.augmentations):
            raise ValueError(f"augmentations = {','.join(self.augmentations)} has one of them twice")
        return self

    def check_size(self, side: int) -> None:
        resolutions(side)
