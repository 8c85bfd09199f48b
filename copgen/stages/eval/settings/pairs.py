"""The settings of `copgen eval pairs`, and the thresholds of its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, OUTPUT, SETTINGS, SPEED
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url
from copgen.stages.eval.settings.common import PositiveInt

Share = Annotated[float, Field(ge=0, le=1)]


class PairsThresholds(Settings):
    """The thresholds of the verdict; measured on pairs of the embedded digits (docs/pair-health.md)."""

    label_agreement: Share = setting(
        0.6,
        text="Fewest pairs whose images have one label.",
        unit="share",
        source="measured: an encoder does not lose by 0.7, and loses 4 points of accuracy by 0.5",
    )
    similarity: Share = setting(
        0.75,
        text="Probability that a pair is more alike than images of two pairs.",
        unit="share",
        source="measured: 0.98 for the recipe's pairs, 0.5 for unrelated images",
    )
    equal: Share = setting(
        0.01, text="Most positives that equal their anchor.", unit="share", source="ours: such a pair teaches T_x only"
    )
    near_duplicates: Share = setting(
        0.01, text="Most anchors that nearly equal another.", unit="share", source="measured: 0 of the real digits"
    )
    duplicate_distance: float = setting(
        1e-3,
        text="Distance to another anchor up to which one nearly equals it.",
        unit="1 - cosine of features",
        source="measured: half of the smallest distance of two real digits (pixels)",
        gt=0,
    )
    effective_rank: float = setting(
        8.0,
        text="Least effective rank of the anchors' features.",
        source="measured: half of the rank of a single class of real digits (pixels)",
        ge=1,
    )


class EvalPairsSettings(Settings):
    """Settings of `copgen eval pairs`."""

    pairs: Path = setting(Path("pairs"), text="The pairs folder.")
    n: PositiveInt = setting(
        2000,
        text="Pairs in the random sample (2k).",
        unit="pairs",
        source="ours: a share of 0.8 is known to 0.018",
        flag=Flag(INPUT, "COUNT", "-n"),
    )
    encoder: Path | None = setting(
        None, text="Pretrain run or encoder file: features, labels.", flag=Flag(INPUT, "PATH")
    )
    arch: str | None = setting(None, text="Architecture in a foreign file (recognised).", flag=Flag(INPUT, "NAME"))
    views: str | None = setting(
        None,
        text="Views whose normalisation a foreign file expects.",
        source="simclr: ImageNet's; one channel: mnist, none",
        flag=Flag(INPUT, "NAME"),
    )
    dataset: str | None = setting(
        None, text="Labelled images, to classify by the encoder.", flag=Flag(INPUT, "NAME|FOLDER")
    )
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    convert_channels: bool = setting(False, text="Convert the dataset to the encoder's channels.", flag=Flag(INPUT))
    classifier: Literal["auto", "digits", "none"] = setting(
        "auto",
        text="auto, none, or digits: that of the embedded digits.",
        source="auto: a probe if there is a dataset, else digits for pairs of their generator",
        flag=Flag(SETTINGS, "NAME"),
    )
    similarity: tuple[str, ...] | None = setting(
        None,
        text="ms-ssim, lpips, feature spaces (ms-ssim, encoder).",
        min_length=1,
        flag=Flag(SETTINGS, "NAMES"),
    )
    space: str | None = setting(
        None, text="Feature space of diversity (encoder, else pixels).", flag=Flag(SETTINGS, "NAME")
    )
    thresholds: PairsThresholds = Field(default_factory=PairsThresholds, description="Thresholds of the verdict.")
    rows: PositiveInt = setting(
        8, text="Pairs of each kind in the picture.", unit="pairs", source="ours", flag=Flag(OUTPUT, "COUNT")
    )
    out: Path | None = setting(
        None, text="Folder of results.json and pairs.png (PAIRS-health).", flag=Flag(OUTPUT, "FOLDER", "-o")
    )
    seed: int = seed_setting()
    device: str = device_setting()
    batch: PositiveInt = setting(
        256, text="Most pairs at once; fewer of large images.", unit="pairs", source="changes memory and speed only"
    )
    workers: int | None = setting(
        None, ge=1, text="Threads that decode images (one per core).", unit="threads", flag=Flag(SPEED, "N")
    )
    cache: bool = setting(
        True,
        text="Keep features of the dataset for the next evaluation.",
        source="in features/ beside the results, by the hashes of encoder and data",
        flag=Flag(SPEED),
    )

    @model_validator(mode="after")
    def _labels_need_both(self) -> Self:
        if self.dataset is not None:
            refuse_url(self.dataset)
            if self.encoder is None:
                raise ValueError(f"dataset = {self.dataset} has no use without an encoder; pass --encoder too")
            if self.classifier != "auto":
                raise ValueError(f"dataset = {self.dataset} and classifier = {self.classifier} cannot both be given")
        return self
