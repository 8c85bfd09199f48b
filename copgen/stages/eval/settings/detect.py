"""The settings of `copgen eval detect`, with the numbers of the authors' and of MoCo's configuration of detectron2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import model_validator

from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, SPEED, TRAINING
from copgen.stages.eval.settings.common import EncoderFileSettings, PositiveInt
from copgen.training.trackers import TrackerName, tracking_setting

SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "authors": {"updates": 96_000, "batch": 4, "lr": 0.005, "max_side": 1024},
    "moco": {"updates": 24_000, "batch": 16, "lr": 0.02, "max_side": 1333},
}
WARMUP = 1 / 240  # of the updates: 400 of the authors' 96,000, 100 of MoCo's 24,000
STEPS = (3 / 4, 11 / 12)  # of the updates, where the learning rate is divided by 10: 72,000 and 88,000


class Length(NamedTuple):
    """What a schedule has: optimizer updates, images of each, peak learning rate, longest side of an image."""

    updates: int
    batch: int
    lr: float
    max_side: int


class EvalDetectSettings(EncoderFileSettings):
    """Settings of `copgen eval detect`."""

    free: ClassVar[frozenset[str]] = frozenset(
        {"checkpoint_every", "device", "workers", "data_root", "read_every", "track"}
    )

    dataset: Path | None = setting(
        None,
        text="VOCdevkit, or a single year such as VOC2007.",
        source="authors: trainval of 2007 and 2012, test of 2007; None: below the data root",
        flag=Flag(INPUT, "FOLDER"),
    )
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    classes: tuple[str, ...] | None = setting(
        None, text="Names of the classes (the 20 of VOC).", min_length=1, flag=Flag(INPUT, "NAMES")
    )
    convert_channels: bool = setting(
        False,
        text="Convert photos to grey for an encoder of grey images.",
        source="colours become their luminance",
        flag=Flag(INPUT),
    )
    schedule: Literal["authors", "moco"] = setting(
        "authors",
        text="Length, batch, rate and size: authors, or moco.",
        source="COP-Gen's README; MoCo's pascal_voc_R_50_C4_24k",
        flag=Flag(TRAINING, "NAME"),
    )
    updates: int | None = setting(
        None,
        text="Optimizer updates (96k; moco: 24k).",
        source="steps and warm-up are fractions of it",
        ge=1,
        flag=Flag(TRAINING, "COUNT"),
    )
    batch: int | None = setting(
        None, text="Images of an update, over all ranks (4; moco: 16).", ge=1, flag=Flag(TRAINING, "COUNT")
    )
    lr: float | None = setting(None, text="Peak learning rate (0.005; moco: 0.02).", gt=0, flag=Flag(TRAINING, "RATE"))
    warmup: int | None = setting(
        None, text="Updates of linear warm-up.", unit="updates", source="both: 1/240 of the updates", ge=1
    )
    weight_decay: float = setting(1e-4, text="Weight decay, of all but batch norms.", source="detectron2", ge=0)
    backbone: Literal["c4", "fpn"] = setting(
        "c4",
        text="c4, or fpn: a feature pyramid.",
        source="authors: R50-C4, the last stage on regions",
        flag=Flag(TRAINING, "NAME"),
    )
    sides: tuple[PositiveInt, ...] = setting(
        (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
        text="Shorter sides of training images.",
        unit="pixels",
        source="MoCo",
        min_length=1,
        flag=Flag(TRAINING, "ROWS"),
    )
    test_side: int = setting(
        800, text="Shorter side of test images.", unit="pixels", source="MoCo", ge=1, flag=Flag(TRAINING, "PIXELS")
    )
    max_side: int | None = setting(
        None,
        text="Longer side at most (1024; moco: 1333).",
        unit="pixels",
        source="authors: 1024",
        ge=1,
        flag=Flag(TRAINING, "PIXELS"),
    )
    anchors: tuple[PositiveInt, ...] = setting(
        (32, 64, 128, 256, 512),
        text="Sizes of the anchors; fpn: one a level.",
        unit="pixels",
        source="detectron2",
        min_length=1,
        flag=Flag(TRAINING, "ROWS"),
    )
    anchors_per_image: PositiveInt = setting(256, text="Anchors of an image in the loss.", source="detectron2")
    regions_per_image: PositiveInt = setting(512, text="Regions of an image in the loss.", source="detectron2")
    statistics: int = setting(
        200,
        text="Batches for the statistics of batch norms after training (0: none).",
        unit="batches",
        source="detectron2's PRECISE_BN: 200",
        ge=0,
    )
    seed: int = seed_setting()
    device: str = device_setting()
    workers: int | None = setting(
        None, ge=1, le=1024, text="Threads that decode images (one per core).", flag=Flag(SPEED, "COUNT")
    )
    read_every: int | None = setting(
        None, text="Updates between reads of the metrics.", unit="updates", source="1 on the CPU, 20 on CUDA", ge=1
    )
    checkpoint_every: int = setting(1000, text="Updates between checkpoints.", unit="updates", ge=1)
    track: TrackerName | None = tracking_setting()

    @model_validator(mode="after")
    def _of_the_schedule(self) -> Self:
        """What was not given is the schedule's."""
        missing = {name: value for name, value in SCHEDULES[self.schedule].items() if getattr(self, name) is None}
        self.__dict__.update(missing)
        if self.warmup is None:
            self.__dict__.update(warmup=max(1, round(WARMUP * self.length.updates)))
        return self

    @property
    def length(self) -> Length:
        """The numbers that the schedule has, or that were given."""
        assert self.updates is not None
        assert self.batch is not None
        assert self.lr is not None
        assert self.max_side is not None
        return Length(self.updates, self.batch, self.lr, self.max_side)
