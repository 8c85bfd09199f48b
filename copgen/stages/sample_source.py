"""What `sample` makes pairs of: its settings, the generator and transforms they name, and the plan that follows."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator

from copgen import generators
from copgen.latents.operations.implementations import choose
from copgen.pairs import (
    FilterRules,
    GeneratorSource,
    Plan,
    PriorSource,
    TransformSource,
    encoder_versions,
    layout,
    read_plan,
)
from copgen.pairs.codecs import DEFAULT_QUALITY, ImageFormat
from copgen.pairs.pixels import Rounding
from copgen.pairs.store import Store
from copgen.runtime.machine import resolve_device, versions
from copgen.stages.drawing import Source
from copgen.stages.latent_transform import TransformChoice, build_transform
from copgen.stages.quality_filter import load_encoder


class SampleSettings(TransformChoice):
    """Settings of `copgen sample`."""

    free: ClassVar[frozenset[str]] = frozenset({"device", "encoders"})

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
    encoders: int | None = Field(default=None, ge=0, le=1024, description="threads that encode; unset: as many as help")

    threads: int | None = Field(
        default=None,
        ge=1,
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


def open_source(
    settings: SampleSettings, device: torch.device | None = None, *, planned: torch.device | None = None
) -> tuple[Source, Plan]:
    """Generator, transforms and encoder on a device, and the plan they make.

    Args:
        settings: which ones.
        device: where they are put; unset is that of the settings.
        planned: the device of the plan, where that is another.

    Raises:
        UsageError, DataError: a generator, navigator, walk or encoder that does not exist, fit or verify.
    """
    device = device or resolve_device(settings.device)
    G = settings.load_generator(device)
    positives = build_transform(settings, G, device)
    f, sha256 = load_encoder(settings.filter_encoder, G, device) if settings.filter_encoder else (None, None)
    plan = make_plan(settings, G, positives.source, planned or device, rules=settings.rules(sha256))
    return Source(G, positives, f), plan


def make_plan(
    settings: SampleSettings,
    G: generators.Generator,
    transform: TransformSource,
    device: torch.device,
    *,
    rules: FilterRules | None = None,
) -> Plan:
    """Everything that determines the bytes of the folder."""
    return Plan(
        seed=settings.seed,
        pairs=settings.n,
        pairs_per_shard=settings.pairs_per_shard,
        batch=settings.batch,
        generator=GeneratorSource(name=G.name, sha256=G.weights_sha256, settings=dict(G.settings)),
        prior=PriorSource(name=G.prior.kind, settings=G.prior.model_dump(mode="json", exclude={"kind"})),
        transform=transform,
        positives=settings.positives,
        filter=rules,
        image_format=settings.image_format,
        quality=settings.quality if settings.quality else DEFAULT_QUALITY[settings.image_format],
        rounding=settings.rounding,
        image_shape=(G.channels, G.image_size, G.image_size),
        # The native and the plain operations on latents round differently in the last bits.
        versions={
            **versions(),
            **encoder_versions(settings.image_format),
            "latents": choose("navigate", device, torch.float32).name,
        },
        device=device.type,
    )


def with_threads(plan: Plan, store: Store, threads: int | None) -> Plan:
    """The plan with a number of threads, on a CPU: convolutions depend on it in their last bits.

    So it must not follow from the machine or the number of workers, or a shard would not be a function of the plan.
    One thread is the default: workers use the other cores better than further threads do.
    """
    if plan.device != "cpu":
        return plan
    if threads is None:
        there = read_plan(store) if store.size(layout.PLAN) is not None else None
        threads = there.threads if isinstance(there, Plan) else 1
    return plan.model_copy(update={"threads": threads})
