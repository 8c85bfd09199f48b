"""The settings of `copgen sample`, each with its unit and its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from copgen.generators.settings import GeneratorChoice
from copgen.latents.genrep import GENREP_GAIN
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import FILTER, PAIRS, SPEED, WHAT, WORKERS

if TYPE_CHECKING:
    from copgen.pairs import FilterRules


Transform = Literal["none", "gaussian", "gaussian-truncated", "random", "steering", "optimal"]


class SampleSettings(GeneratorChoice):
    """Settings of `copgen sample`."""

    free: ClassVar[frozenset[str]] = frozenset({"device", "encoders"})

    seed: int = seed_setting()
    transform: Transform = setting(
        "optimal",
        text="none, gaussian, gaussian-truncated, random, steering, optimal.",
        source="Algorithm 1: optimal, by a navigator",
        former=("tz",),
        flag=Flag(WHAT, "NAME"),
    )
    navigator: Path = setting(
        Path("runs/navigate"), text="Its run folder or file, for optimal.", flag=Flag(WHAT, "FOLDER")
    )
    std: float = setting(
        0.2,
        text="Standard deviation of the gaussian steps.",
        unit="before truncation",
        source="GenRep, BigBiGAN: 0.2, truncated at 2 of it",
        gt=0,
        flag=Flag(WHAT, "STD"),
    )
    walk: Path = setting(Path("runs/steering"), text="Its run folder or file, for steering.", flag=Flag(WHAT, "FOLDER"))
    rotation_gain: float = setting(
        GENREP_GAIN, text="Factor on the 3-D rotation of transform = steering.", source="GenRep: 5", ge=0
    )
    n: int = setting(text="Pairs, such as 10k.", unit="pairs", ge=1, flag=Flag(PAIRS, "COUNT", "-n"))
    positives: int = setting(
        1,
        text="Positives per anchor; navigators add snapshots.",
        source="GenRep tried 1, 5 and 20",
        ge=1,
        le=99,
        flag=Flag(PAIRS, "COUNT"),
    )
    batch: int = setting(
        500,
        text="Pairs through the generator at once.",
        source="part of the plan",
        ge=1,
        le=1_000_000,
        flag=Flag(PAIRS, "COUNT"),
    )
    pairs_per_shard: int = setting(10_000, text="Pairs in each tar file.", ge=1, flag=Flag(PAIRS, "COUNT"))
    image_format: Literal["png", "jpg", "webp"] = setting(
        "png", text="png, jpg (4:4:4) or webp.", former=("format",), flag=Flag(PAIRS, "NAME")
    )
    quality: int | None = setting(
        None, text="Of jpg (95) and webp (90), from 1 to 100.", ge=1, le=100, flag=Flag(PAIRS, "Q")
    )
    rounding: Literal["nearest", "truncate256"] = setting(
        "nearest", text="From [-1, 1] to bytes.", source="truncate256 is the authors'"
    )
    min_d: float | None = setting(None, text="Least d(z, z').", ge=0, flag=Flag(FILTER, "D"))
    max_d: float | None = setting(None, text="Greatest d(z, z').", ge=0, flag=Flag(FILTER, "D"))
    min_similarity: float | None = setting(
        None, text="Least cosine of the pair.", ge=-1, le=1, flag=Flag(FILTER, "COS")
    )
    max_similarity: float | None = setting(
        None, text="Greatest cosine of the pair.", ge=-1, le=1, flag=Flag(FILTER, "COS")
    )
    filter_encoder: Path | None = setting(
        None, text="Run or file of the cosine's encoder.", flag=Flag(FILTER, "FOLDER")
    )
    attempts: int = setting(
        100, text="Draws of a pair before giving up (100).", ge=1, le=1_000_000, flag=Flag(FILTER, "COUNT")
    )
    device: str = device_setting()
    compile: Literal["off", "default"] = setting(
        "off",
        text="torch.compile of G: off, default. For GPUs.",
        source="part of the plan",
        flag=Flag(SPEED, "MODE"),
    )
    encoders: int | None = setting(
        None,
        text="Threads that encode images; 0: none.",
        source="unset: as many as help",
        ge=0,
        le=1024,
        flag=Flag(SPEED, "COUNT"),
    )
    threads: int | None = setting(
        None,
        text="CPU threads of each (1), part of the plan.",
        source="unset: one, or as a plan there says",
        ge=1,
        le=1024,
        flag=Flag(WORKERS, "N"),
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.quality is not None and self.image_format == "png":
            raise ValueError("png has no quality; leave it out, or choose jpg or webp")
        for rule, low, high in (
            ("d", self.min_d, self.max_d),
            ("similarity", self.min_similarity, self.max_similarity),
        ):
            if low is not None and high is not None and low > high:
                raise ValueError(f"no pair has {rule} >= {low:g} and <= {high:g}")
        bounded = (self.min_similarity, self.max_similarity) != (None, None)
        if bounded and self.filter_encoder is None:
            raise ValueError("a rule on similarity needs filter_encoder, the encoder it is taken in")
        return self

    def rules(self, encoder_sha256: str | None) -> FilterRules | None:
        """The quality filter as the plan has it; None where every draw is kept."""
        from copgen.pairs import FilterRules  # settings are read without what reads images

        bounds = {name: getattr(self, name) for name in ("min_d", "max_d", "min_similarity", "max_similarity")}
        if self.filter_encoder is None and set(bounds.values()) == {None}:
            return None
        return FilterRules(**bounds, encoder_sha256=encoder_sha256, attempts=self.attempts)
