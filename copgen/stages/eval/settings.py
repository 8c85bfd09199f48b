"""The settings of the evaluations, with units and sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, OUTPUT, SETTINGS, SPEED, TRAINING
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url

PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]


class EvalSettings(Settings):
    """Settings of all evaluations of an encoder on labelled images."""

    ckpt: Path = setting(
        Path("runs/pretrain"), text="Pretrain run, or any encoder file (runs/pretrain).", flag=Flag(INPUT, "PATH")
    )
    arch: str | None = setting(None, text="Architecture in a foreign file (recognised).", flag=Flag(INPUT, "NAME"))
    views: str | None = setting(
        None,
        text="Views whose normalisation a foreign file expects.",
        source="simclr: ImageNet's; one channel: mnist, none",
        flag=Flag(INPUT, "NAME"),
    )
    dataset: str = setting(
        "digits",
        text="Labelled images: a dataset's name or a folder.",
        source="the 8x8 digits of scikit-learn",
        flag=Flag(INPUT, "NAME|FOLDER"),
    )
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    size: int | None = setting(
        None,
        ge=1,
        text="Side of the images (the encoder's training images).",
        unit="pixels",
        source="a foreign file: that of the dataset, else 224",
        flag=Flag(INPUT, "N"),
    )
    resize: int | None = setting(
        None,
        ge=1,
        text="Shorter side before the central crop (size / 0.875).",
        unit="pixels",
        source="authors' code: 146 for 128; datasets of one size are not cropped",
        flag=Flag(INPUT, "N"),
    )
    convert_channels: bool = setting(
        False,
        text="Convert between grey and RGB where the encoder needs it.",
        source="grey is repeated, colours become their luminance",
        flag=Flag(INPUT),
    )
    out: Path | None = setting(
        None, text="Folder of results.json (beside the encoder).", flag=Flag(OUTPUT, "FOLDER", "-o")
    )
    seed: int = seed_setting()
    device: str = device_setting()
    batch: PositiveInt = setting(
        256,
        text="Batch size of the encoder.",
        unit="images",
        source="changes memory and speed only",
        former=("batch_size",),
    )
    workers: int | None = setting(
        None, ge=1, text="Threads that decode images (one per core).", unit="threads", flag=Flag(SPEED, "N")
    )
    cache: bool = setting(
        True,
        text="Keep features on disk for the next evaluation.",
        source="in features/ beside the results, by the hashes of encoder and data",
        flag=Flag(SPEED),
    )

    @model_validator(mode="after")
    def _local_dataset(self) -> Self:
        refuse_url(self.dataset)
        return self


class EvalLinearSettings(EvalSettings):
    """Settings of `copgen eval linear`."""

    exclusive = (("lr", "lr_grid"),)

    probe: Literal["auto", "lbfgs", "sgd"] = setting(
        "auto",
        text="lbfgs for up to 10,000 training images, sgd beyond (auto).",
        source="sgd is the paper's",
        flag=Flag(TRAINING, "NAME"),
    )
    protocol: Literal["validation", "authors"] = setting(
        "validation",
        text="What selects rate and epoch; authors: the test images.",
        source="authors' code: the best epoch on the test images",
        flag=Flag(TRAINING, "NAME"),
    )
    augment: Literal["auto", "none", "crop"] = setting(
        "auto",
        text="Training images of sgd: crop and flip, or none (as pretrained).",
        source="authors' code: crops of 0.2 to 1 and flips; appendix D: none for MNIST",
        flag=Flag(TRAINING, "NAME"),
    )
    standardise: bool | None = setting(
        None,
        text="Standardise features for sgd (yes; authors: no).",
        source="measured: without it, sgd is up to 6 points below convergence",
        flag=Flag(TRAINING),
    )
    lr: float | None = setting(
        None,
        text="Learning rate of sgd for 256 images (a grid; authors: 2).",
        source="appendix D at batch 64: 0.5 = 2 x 64/256 (real MNIST), 1.5 (synthetic)",
        gt=0,
        flag=Flag(TRAINING, "N"),
    )
    epochs: int = setting(
        60, text="Epochs of sgd.", unit="epochs", source="authors' code: 60", ge=1, flag=Flag(TRAINING, "N")
    )
    probe_batch: int | None = setting(
        None,
        text="Batch size of sgd (224; 64 for grey images).",
        unit="images",
        source="authors' code: 224; appendix D: 64",
        ge=1,
        flag=Flag(TRAINING, "N"),
    )
    lr_grid: tuple[PositiveFloat, ...] | None = setting(
        None,
        text="Learning rates of sgd for 256 images, of which validation selects one.",
        source="half decades: 0.002 to 6 for standardised features, 0.06 to 200 for others",
        min_length=1,
    )
    c_grid: tuple[PositiveFloat, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2),
        text="Inverse L2 strengths C, selected on validation.",
        source="measured, for standardised features",
        min_length=1,
    )
    labels_per_class: tuple[PositiveInt, ...] = setting(
        (1, 5, 10), text="Labels per class in the few-label probes.", unit="labels", source="our choice"
    )
    label_draws: PositiveInt = setting(
        20, text="Random label draws of each few-label probe.", unit="draws", source="our choice"
    )
    max_iterations: PositiveInt = setting(
        5000, text="Most L-BFGS iterations per fit.", unit="iterations", source="measured, never reached"
    )


class EvalKnnSettings(EvalSettings):
    """Settings of `copgen eval knn`."""

    ks: tuple[PositiveInt, ...] = setting(
        (1, 10, 20, 100, 200),
        text="Numbers of neighbours; one above the bank takes all of it.",
        source="Wu et al. 2018, DINO: 10, 20, 100, 200",
        min_length=1,
        flag=Flag(SETTINGS, "ROWS"),
    )
    temperature: float = setting(
        0.07, text="Temperature of the votes.", source="Wu et al. 2018", gt=0, flag=Flag(SETTINGS, "T")
    )


class EvalFewShotSettings(EvalSettings):
    """Settings of `copgen eval few-shot`."""

    exclusive = (("labels", "percent"),)

    labels: tuple[PositiveInt, ...] = setting(
        (1, 5, 10), text="Labels per class.", unit="labels", source="our choice", flag=Flag(SETTINGS, "ROWS")
    )
    percent: tuple[Annotated[int, Field(ge=1, le=100)], ...] = setting(
        (),
        text="Shares of the training labels, in percent, instead.",
        unit="%",
        source="1 and 10 are usual",
        flag=Flag(SETTINGS, "ROWS"),
    )
    draws: int = setting(
        10, text="Random draws of labels.", unit="draws", source="our choice", ge=2, flag=Flag(SETTINGS, "N")
    )
    c_grid: tuple[PositiveFloat, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2),
        text="Inverse L2 strengths C, selected on validation.",
        source="measured, for standardised features",
        min_length=1,
    )
    max_iterations: PositiveInt = setting(
        5000, text="Most L-BFGS iterations per fit.", unit="iterations", source="measured, never reached"
    )
