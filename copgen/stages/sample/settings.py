"""The settings of `copgen sample`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from copgen.generators.settings import GeneratorChoice
from copgen.latents.genrep import GENREP_GAIN
from copgen.pairs import FilterRules, Rounding
from copgen.pairs.codecs import ImageFormat

Transform = Literal["none", "gaussian", "gaussian-truncated", "random", "steering", "optimal"]


class SampleSettings(GeneratorChoice):
    """Settings of `copgen sample`."""

    free: ClassVar[frozenset[str]] = frozenset({"device", "encoders"})

    seed: int = Field(default=0, ge=0, description="decides every random number")
    transform: Transform = Field(
        default="optimal",
        description="how z' comes from z: not at all, by a normal step or one truncated at 2 std, anew from the prior, "
        "by a steering walk, or by a navigator",
    )
    std: float = Field(
        default=0.2,
        gt=0,
        description="standard deviation of the gaussian step, before truncation (GenRep, BigBiGAN: 0.2, truncated)",
    )
    navigator: Path = Field(default=Path("runs/navigate"), description="run folder or file, for transform = optimal")
    walk: Path = Field(default=Path("runs/steering"), description="run folder or file, for transform = steering")
    rotation_gain: float = Field(
        default=GENREP_GAIN, ge=0, description="factor on the 3-D rotation of transform = steering (GenRep: 5)"
    )
    positives: int = Field(default=1, ge=1, le=99, description="positives per anchor (GenRep tried 1, 5 and 20)")
    n: int = Field(ge=1, description="pairs")
    batch: int = Field(
        default=500, ge=1, le=1_000_000, description="pairs through the generator at once; part of the plan"
    )
    pairs_per_shard: int = Field(default=10_000, ge=1, description="pairs in each tar file")
    image_format: ImageFormat = Field(default="png", description="png, jpg (4:4:4) or webp")
    quality: int | None = Field(
        default=None, ge=1, le=100, description="of jpg (95 if unset) and webp (90); png has none"
    )
    rounding: Rounding = Field(default="nearest", description="from [-1, 1] to bytes; truncate256 is the authors'")
    min_d: float | None = Field(default=None, ge=0, description="pairs with a lower d(z, z') are drawn again")
    max_d: float | None = Field(default=None, ge=0, description="pairs with a higher d(z, z') are drawn again")
    min_similarity: float | None = Field(
        default=None, ge=-1, le=1, description="pairs whose cosine under filter_encoder is lower are drawn again"
    )
    max_similarity: float | None = Field(
        default=None, ge=-1, le=1, description="pairs whose cosine under filter_encoder is higher are drawn again"
    )
    filter_encoder: Path | None = Field(default=None, description="run folder or file of the encoder for similarities")
    attempts: int = Field(default=100, ge=1, le=1_000_000, description="draws of one pair before the run gives up")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    compile: Literal["off", "default"] = Field(default="off", description="torch.compile of G; part of the plan")
    encoders: int | None = Field(default=None, ge=0, le=1024, description="threads that encode; unset: as many as help")

    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="of a CPU, for each worker, part of the plan; unset is one, or as a plan there says",
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
        bounds = {name: getattr(self, name) for name in ("min_d", "max_d", "min_similarity", "max_similarity")}
        if self.filter_encoder is None and set(bounds.values()) == {None}:
            return None
        return FilterRules(**bounds, encoder_sha256=encoder_sha256, attempts=self.attempts)
