"""The settings of `copgen eval alignment`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import INPUT, SETTINGS
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url
from copgen.stages.eval.settings.common import EncoderFileSettings, EncoderSettings

MOST = 10_000


class PairedSettings(Settings):
    """Which pairs of images an encoder is evaluated on."""

    exclusive = (("pairs", "dataset"),)

    pairs: Path | None = setting(None, text="Pairs folder: anchors and their positives.", flag=Flag(INPUT, "FOLDER"))
    dataset: str | None = setting(
        None,
        text="Images instead, two views of each (digits).",
        source="the 8x8 digits of scikit-learn",
        flag=Flag(INPUT, "NAME|FOLDER"),
    )
    split: Literal["train", "validation", "test"] = setting(
        "test", text="Split of the dataset: train, validation, test.", flag=Flag(INPUT, "NAME")
    )
    augment: str | None = setting(
        None,
        text="Views: a policy such as simclr, or none (pairs: none).",
        source="a dataset: those of pretraining",
        flag=Flag(INPUT, "NAME"),
    )

    @model_validator(mode="after")
    def _local_dataset(self) -> Self:
        refuse_url(self.dataset or "")
        if self.augment == "none" and self.pairs is None:
            raise ValueError("augment = 'none' makes both views of an image the same; it is for pairs")
        return self


class EvalAlignmentSettings(EncoderSettings, PairedSettings, EncoderFileSettings):
    """Settings of `copgen eval alignment`."""

    n: int = setting(
        2048,
        text="Most pairs to measure, in whole batches.",
        unit="pairs",
        source=f"at most {MOST:,}: the metrics compare all with all",
        ge=2,
        le=MOST,
        flag=Flag(SETTINGS, "COUNT"),
    )
    loss_batch: int = setting(
        256,
        text="Batch size K of the InfoNCE loss.",
        unit="pairs",
        source="authors: 224; recorded, as the loss depends on it",
        ge=2,
        flag=Flag(SETTINGS, "COUNT"),
    )
    temperature: float = setting(
        0.1, text="Temperature of the InfoNCE loss.", source="authors' code: 0.1", gt=0, flag=Flag(SETTINGS, "TAU")
    )
    untrained: bool = setting(
        True,
        text="Measure an untrained encoder as well.",
        source="what the architecture alone gives",
        flag=Flag(SETTINGS),
    )
