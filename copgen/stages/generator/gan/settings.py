"""The settings of `copgen generator fit` of a small GAN, with units and sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from copgen.generators.small_gan.config import GanConfig, resolutions
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, TRAINING
from copgen.training.intervals import Interval, checkpoint_setting
from copgen.training.length import Length, batch_size, sample_count, update_count
from copgen.views.policies import DiffAugmentation

STAGE = "generator fit gan"
Beta = Annotated[float, Field(ge=0, lt=1)]


class FitGanSettings(Length):
    """Settings of `copgen generator fit` of a small GAN."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "preview_every", "device", "data_root"})

    dataset: str = setting(text="Dataset (copgen data list), or a folder of images.")
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    split: Literal["train", "train+validation"] = setting("train", text="Split of the dataset.")
    image_size: int | None = setting(
        None,
        text="Pixels a side, such as 28, 32 or 64 (the images').",
        unit="pixels",
        ge=8,
        le=128,
        flag=Flag(INPUT, "PIXELS"),
    )
    channels: Literal[1, 3] | None = setting(None, text="1 (grey) or 3 (colour); those of the images.")
    mirror: bool = setting(False, text="Mirror half of the images left to right.")
    network: GanConfig = setting(GanConfig(), text="Architecture.")

    samples: int = sample_count(exclude=True)
    updates: int = update_count(12_000)
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
    seed: int = seed_setting()
    checkpoint_every: Interval = checkpoint_setting()
    preview_every: int = setting(50_000, text="Samples between previews.", unit="samples", ge=1)
    device: str = device_setting()

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.image_size is not None:
            resolutions(self.image_size)
        if self.batch % 8:
            raise ValueError(f"batch = {self.batch} is not a multiple of 8, the group of D's variation")
        return self
