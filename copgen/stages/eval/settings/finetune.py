"""The settings of `copgen eval finetune`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import SETTINGS, TRAINING
from copgen.stages.eval.settings.common import Draws, EvalSettings, Iterations, PositiveFloat, PositiveInt


class EvalFinetuneSettings(EvalSettings):
    """Settings of `copgen eval finetune`."""

    exclusive = (("labels", "percent"), ("lr", "lr_grid"))
    free: ClassVar[frozenset[str]] = frozenset(
        {"batch", "cache", "checkpoint_every", "data_root", "device", "out", "workers"}
    )

    percent: tuple[Annotated[int, Field(ge=1, le=100)], ...] | None = setting(
        None,
        text="Shares of the training labels, in percent (1,10).",
        unit="%",
        source="SimCLR, SwAV, VISSL: 1 and 10",
        min_length=1,
        flag=Flag(SETTINGS, "ROWS"),
    )
    labels: tuple[PositiveInt, ...] | None = setting(
        None, text="Labels per class, instead.", unit="labels", min_length=1, flag=Flag(SETTINGS, "ROWS")
    )
    draws: Draws = setting(
        3, text="Random draws of labels.", unit="draws", source="our choice", flag=Flag(SETTINGS, "N")
    )
    lr: float | None = setting(
        None,
        text="Learning rate for 256 images (a grid).",
        source="SimCLR, VISSL: 0.05; SwAV: 0.02 and 0.01, with a higher one for the head",
        gt=0,
        flag=Flag(TRAINING, "N"),
    )
    lr_grid: tuple[PositiveFloat, ...] | None = setting(
        None,
        text="Learning rates for 256 images, of which validation selects one.",
        source="ours: 0.01, 0.05, 0.2 and 1, from SwAV's up, as small encoders and batches take more",
        min_length=1,
    )
    epochs: int | None = setting(
        None,
        text="Epochs (60; 30 from 10 % of the labels on).",
        unit="epochs",
        source="SimCLR, appendix B.5: 60 for 1 %, 30 for 10 %",
        ge=1,
        flag=Flag(TRAINING, "N"),
    )
    train_batch: int | None = setting(
        None,
        text="Batch size (an eighth of the labels, 16 to 256).",
        unit="images",
        source="VISSL, SwAV: 256 on ImageNet; fewer for fewer labels: our choice",
        ge=2,
        flag=Flag(TRAINING, "N"),
    )
    augment: Literal["auto", "none", "crop"] = setting(
        "auto",
        text="Training images: crop and flip, or none (as pretrained).",
        source="SimCLR, appendix B.5: crops and flips alone",
        flag=Flag(TRAINING, "NAME"),
    )
    validation_images: PositiveInt = setting(
        5000,
        text="Most validation images that select rate and epoch.",
        unit="images",
        source="our choice: they are classified after every epoch",
    )
    c_grid: tuple[PositiveFloat, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2),
        text="Inverse L2 strengths C of the frozen probe, selected on validation.",
        source="measured, for standardised features",
        min_length=1,
    )
    max_iterations: Iterations = setting(
        5000, text="Most L-BFGS iterations per fit of it.", unit="iterations", source="measured, never reached"
    )
    checkpoint_every: PositiveInt = setting(500, text="Updates between checkpoints.", unit="updates")
