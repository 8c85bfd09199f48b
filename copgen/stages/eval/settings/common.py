"""The settings that all evaluations of an encoder have, and those on labelled images.

A model has the fields of its last base first, which decides their order in the help.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, OUTPUT, SPEED
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url

PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]
# SciPy ends L-BFGS after 15,000 evaluations of the loss, some more than iterations, which a fit does not tell from
# convergence.
Iterations = Annotated[int, Field(ge=1, le=10_000)]


def _of_an_interval(value: Any) -> Any:
    if isinstance(value, int) and value < 2:
        raise ValueError("the interval over draws needs at least two; pass --draws 2 or more")
    return value


Draws = Annotated[int, Field(ge=2), BeforeValidator(_of_an_interval)]


class EncoderFileSettings(Settings):
    """Which encoder is evaluated."""

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


class EncoderSettings(EncoderFileSettings):
    """Settings of all evaluations of an encoder."""

    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    size: int | None = setting(
        None,
        ge=1,
        text="Side of the images (the encoder's training images).",
        unit="pixels",
        source="a foreign file: that of the dataset, else 224",
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


class PreparedSettings(EncoderSettings):
    """Settings of the evaluations that extract features of images as they are, resized and cropped at the centre."""

    resize: int | None = setting(
        None,
        ge=1,
        text="Shorter side before the central crop (size / 0.875).",
        unit="pixels",
        source="authors' code: 146 for 128; datasets of one size are not cropped",
        flag=Flag(INPUT, "N"),
    )
    cache: bool = setting(
        True,
        text="Keep features on disk for the next evaluation.",
        source="in features/ beside the results, by the hashes of encoder and data",
        flag=Flag(SPEED),
    )


class LabelledSettings(Settings):
    """Which labelled images it is evaluated on."""

    dataset: str = setting(
        "digits",
        text="Labelled images: a dataset's name or a folder.",
        source="the 8x8 digits of scikit-learn",
        flag=Flag(INPUT, "NAME|FOLDER"),
    )

    @model_validator(mode="after")
    def _local_dataset(self) -> Self:
        refuse_url(self.dataset)
        return self


class EvalSettings(PreparedSettings, LabelledSettings, EncoderFileSettings):
    """Settings of all evaluations of an encoder on a dataset with labels."""
