"""The settings of `copgen eval generator`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from copgen.generators.by_file import with_weights
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, OUTPUT, SETTINGS, SPEED
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url
from copgen.stages.eval.settings.common import PositiveInt
from copgen.stages.sample.settings import OfLatents, refuse_pool

PUBLISHED = 50_000  # images of a published FID and Inception Score


class EvalGeneratorSettings(Settings):
    """Settings of `copgen eval generator`."""

    exclusive = (("generator", "pairs"), ("weights", "pairs"), ("truncation_scale", "pairs"))

    generator: str | None = setting(
        None, text="Generator, such as digits; or its file or run.", flag=Flag(INPUT, "NAME", "-g")
    )
    weights: Path | None = setting(None, text="Weights file, instead of the default.", flag=Flag(INPUT, "FILE"))
    truncation_scale: float | None = setting(
        None, text="Scale of the truncated normal (GANs).", gt=0, le=1, flag=Flag(INPUT, "T")
    )
    pairs: Path | None = setting(None, text="A pairs folder, instead of a generator.", flag=Flag(INPUT, "FOLDER"))
    images: Literal["anchors", "positives", "both"] = setting(
        "anchors", text="Which are scored: anchors, positives or both.", flag=Flag(INPUT, "NAME")
    )
    transform: OfLatents = setting(
        "optimal",
        text="Latent transform of the positives, as of sample.",
        source="optimal: a navigator",
        flag=Flag(INPUT, "NAME", choices=("nearest",)),
    )
    navigator: Path = setting(
        Path("runs/navigate"), text="Navigator run or file, for optimal.", flag=Flag(INPUT, "FOLDER")
    )
    walk: Path = setting(Path("runs/steering"), text="Walk run or file, for steering.", flag=Flag(INPUT, "FOLDER"))
    std: float = setting(
        0.2,
        text="Standard deviation of gaussian.",
        unit="before truncation",
        source="GenRep",
        gt=0,
        le=1000,
        flag=Flag(INPUT, "STD"),
    )
    dataset: str = setting(
        "digits",
        text="Real images: a dataset's name or a folder.",
        source="the 8x8 digits of scikit-learn",
        flag=Flag(INPUT, "NAME|FOLDER"),
    )
    split: Literal["train", "validation", "test", "train+validation"] = setting(
        "train+validation",
        text="Split of the real images (train+validation).",
        source="published FIDs: the training images",
        flag=Flag(INPUT, "NAME"),
    )
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    convert_channels: bool = setting(False, text="Convert real images to grey or RGB, as generated.", flag=Flag(INPUT))
    n: int | None = setting(
        None,
        text="Generated images of a draw (50k, or all pairs).",
        unit="images",
        source="published scores: 50k",
        ge=1,
        flag=Flag(SETTINGS, "COUNT", "-n"),
    )
    draws: PositiveInt = setting(
        1,
        text="Draws of so many images, for a deviation.",
        unit="draws",
        flag=Flag(SETTINGS, "N"),
    )
    real_n: int | None = setting(
        None,
        text="Real images, at random (all).",
        unit="images",
        ge=1,
        flag=Flag(SETTINGS, "COUNT"),
    )
    space: tuple[str, ...] = setting(
        ("inception",),
        text="inception, dinov2, efficientnet-lite0, encoder:PATH, pixels.",
        source="FID and Inception Score are of inception",
        min_length=1,
        flag=Flag(SETTINGS, "NAMES"),
    )
    nearest_of: PositiveInt = setting(
        10_000,
        text="Most images compared with their nearest ones (10k).",
        unit="images",
        source="of precision, recall, density and coverage; time grows with its square",
        flag=Flag(SETTINGS, "COUNT"),
    )
    out: Path | None = setting(
        None, text="Folder of results.json (runs/eval-generator/NAME, PAIRS-scores).", flag=Flag(OUTPUT, "FOLDER", "-o")
    )
    seed: int = seed_setting()
    device: str = device_setting()
    batch: int = setting(256, text="Batch size of the generator and of reading.", unit="images", ge=1, le=1_000_000)
    workers: int | None = setting(
        None, ge=1, text="Threads that decode images (one per core).", unit="threads", flag=Flag(SPEED, "N")
    )
    cache: bool = setting(
        True,
        text="Keep features on disk for the next evaluation.",
        source="in features/ beside the results, by hashes; an interrupted evaluation resumes from them",
        flag=Flag(SPEED),
    )

    _without_a_pool = field_validator("transform", mode="before")(refuse_pool)

    @classmethod
    def layer(cls, tree: Mapping[str, Any], *, tell: Callable[[str, str], None] | None = None) -> dict[str, Any]:
        """A layer of settings; the path of a generator is replaced by its name and its weights."""
        return with_weights(super().layer(tree, tell=tell))

    @model_validator(mode="after")
    def _together(self) -> Self:
        refuse_url(self.dataset)
        if self.generator is None and self.pairs is None:
            raise ValueError("pass generator or pairs")
        return self
