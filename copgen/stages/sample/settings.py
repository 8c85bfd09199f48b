"""The settings of `copgen sample`, with units and sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from copgen.generators.settings import GeneratorChoice
from copgen.latents.genrep import GENREP_GAIN
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import FILTER, INPUT, PAIRS, SPEED, WORKERS

if TYPE_CHECKING:
    from copgen.pairs import FilterRules


OfLatents = Literal["none", "gaussian", "gaussian-truncated", "random", "steering", "optimal"]
Transform = Literal[OfLatents, "nearest"]


def refuse_pool(transform: Any) -> Any:
    """Refuse a transform that needs a pool, where pairs are not written (a validator of `transform`)."""
    if transform == "nearest":
        raise ValueError(
            "nearest needs the features of a pool: write its pairs with copgen sample, and pass the folder"
        )
    return transform


class SampleSettings(GeneratorChoice):
    """Settings of `copgen sample`."""

    free: ClassVar[frozenset[str]] = frozenset({"device", "encoders"})

    seed: int = seed_setting()
    transform: Transform = setting(
        "optimal",
        text="none, gaussian, gaussian-truncated, random, steering, nearest or optimal (a navigator).",
        source="optimal: Algorithm 1",
        former=("tz",),
        flag=Flag(INPUT, "NAME"),
    )
    navigator: Path = setting(
        Path("runs/navigate"), text="Navigator run or file, for optimal.", flag=Flag(INPUT, "FOLDER")
    )
    std: float = setting(
        0.2,
        text="Standard deviation of gaussian.",
        unit="before truncation",
        source="GenRep, BigBiGAN: 0.2, truncated at 2 of it",
        gt=0,
        le=1000,
        flag=Flag(INPUT, "STD"),
    )
    walk: Path = setting(Path("runs/steering"), text="Walk run or file, for steering.", flag=Flag(INPUT, "FOLDER"))
    rotation_gain: float = setting(
        GENREP_GAIN, text="Factor on the 3-D rotation of steering.", source="GenRep: 5", ge=0
    )
    features: str | None = setting(
        None,
        text="Features of nearest: an encoder run or file, pixels, ...",
        source="an encoder, or a name of copgen.evaluation.spaces",
        flag=Flag(INPUT, "ENCODER"),
    )
    pool: int = setting(
        10_000,
        text="Images among which nearest looks (10k).",
        unit="images",
        source="ours",
        ge=1,
        le=100_000_000,
        flag=Flag(INPUT, "COUNT"),
    )
    n: int = setting(text="Number of pairs, such as 10k.", unit="pairs", ge=1, flag=Flag(PAIRS, "COUNT", "-n"))
    positives: int = setting(
        1,
        text="Positives per anchor, up to 99.",
        source="optimal: from snapshots of the run; GenRep: 1, 5 and 20",
        ge=1,
        le=99,
        flag=Flag(PAIRS, "COUNT"),
    )
    batch: int = setting(
        500,
        text="Batch size of the generator.",
        source="part of the plan",
        ge=1,
        le=1_000_000,
        flag=Flag(PAIRS, "COUNT"),
    )
    pairs_per_shard: int = setting(10_000, text="Pairs in each shard (10k).", ge=1, flag=Flag(PAIRS, "COUNT"))
    image_format: Literal["png", "jpg", "webp"] = setting(
        "png", text="png, jpg (4:4:4) or webp.", former=("format",), flag=Flag(PAIRS, "NAME")
    )
    quality: int | None = setting(
        None, text="Quality of jpg (95) or webp (90), 1 to 100.", ge=1, le=100, flag=Flag(PAIRS, "Q")
    )
    rounding: Literal["nearest", "truncate256"] = setting(
        "nearest", text="Rounding from [-1, 1] to bytes.", source="authors: truncate256"
    )
    min_d: float | None = setting(None, text="Minimum d(z, z').", ge=0, flag=Flag(FILTER, "D"))
    max_d: float | None = setting(None, text="Maximum d(z, z').", ge=0, flag=Flag(FILTER, "D"))
    min_similarity: float | None = setting(
        None, text="Minimum cosine similarity.", ge=-1, le=1, flag=Flag(FILTER, "COS")
    )
    max_similarity: float | None = setting(
        None, text="Maximum cosine similarity.", ge=-1, le=1, flag=Flag(FILTER, "COS")
    )
    filter_encoder: Path | None = setting(
        None, text="Encoder run or file for the similarity.", flag=Flag(FILTER, "FOLDER")
    )
    attempts: int = setting(
        100, text="Attempts per pair before failing (100).", ge=1, le=1_000_000, flag=Flag(FILTER, "COUNT")
    )
    device: str = device_setting()
    compile: Literal["off", "default"] = setting(
        "off",
        text="torch.compile of G: off or default.",
        source="part of the plan",
        flag=Flag(SPEED, "MODE"),
    )
    encoders: int | None = setting(
        None,
        text="Threads that encode images (0: none).",
        source="default: as many as are useful",
        ge=0,
        le=1024,
        flag=Flag(SPEED, "COUNT"),
    )
    threads: int | None = setting(
        None,
        text="CPU threads per worker (1).",
        source="part of the plan; default: 1, or that of an existing plan",
        ge=1,
        le=1024,
        flag=Flag(WORKERS, "N"),
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.transform == "nearest" and self.features is None:
            raise ValueError("transform = 'nearest' needs features, such as pixels or runs/pretrain")
        if self.quality is not None and self.image_format == "png":
            raise ValueError("png has no quality; remove quality, or choose jpg or webp")
        for rule, low, high in (
            ("d", self.min_d, self.max_d),
            ("similarity", self.min_similarity, self.max_similarity),
        ):
            if low is not None and high is not None and low > high:
                raise ValueError(f"no pair has {rule} >= {low:g} and <= {high:g}")
        bounded = (self.min_similarity, self.max_similarity) != (None, None)
        if bounded and self.filter_encoder is None:
            raise ValueError("a bound on similarity needs filter_encoder")
        return self

    def rules(self, encoder_sha256: str | None) -> FilterRules | None:
        """The quality filter of the plan; None if every pair is kept."""
        from copgen.pairs import FilterRules  # settings are read without what reads images

        bounds = {name: getattr(self, name) for name in ("min_d", "max_d", "min_similarity", "max_similarity")}
        if self.filter_encoder is None and set(bounds.values()) == {None}:
            return None
        return FilterRules(**bounds, encoder_sha256=encoder_sha256, attempts=self.attempts)
