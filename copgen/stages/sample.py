"""`copgen sample`: z -> (x, x') for as many pairs as asked, written as a pairs folder.

Legend: z, z' (batch, dim) latents; x, x' (batch, C, H, W) images in [-1, 1]. Pair k is a function of (plan, k's shard).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator

from copgen import generators
from copgen.latents.operations.implementations import choose
from copgen.pairs import (
    Contents,
    EncodedPair,
    FilterRules,
    GeneratorSource,
    Pair,
    Plan,
    PriorSource,
    TransformSource,
    encoder_versions,
    finish,
    layout,
    missing_shards,
    write_shard,
)
from copgen.pairs.codecs import DEFAULT_QUALITY, ImageFormat
from copgen.pairs.pipeline import overlapped
from copgen.pairs.pixels import Rounding
from copgen.runtime.events import Events, Silent
from copgen.runtime.lock import locked, refuse_foreign
from copgen.runtime.machine import resolve_device, versions
from copgen.runtime.signals import StopRequest
from copgen.stages.drawing import Source, make_batches
from copgen.stages.generator_choice import terms
from copgen.stages.latent_transform import TransformChoice, build_transform
from copgen.stages.preflight import estimate_of, refuse_small_disk
from copgen.stages.quality_filter import load_encoder
from copgen.stages.rehearsal import folder_bytes


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


def sample(
    settings: SampleSettings, *, out: Path, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Write the pairs that are missing from the folder `out`; returns the counts of pairs and shards, and the bytes.

    Raises:
        UsageError: the folder holds pairs of another plan, and the error lists each difference; or a pair had as many
            draws refused by the filter as it allows.
        EnvironmentFault: the folder is not writable, in use, or holds something that is no pairs folder; or the disk
            is too small.
        DataError: generator, navigator or encoder weights that fail verification.
        Stopped: a signal came; shards that were finished stay, and the same call goes on.
    """
    events = events or Silent()
    source, plan = open_source(settings, events)
    refuse_foreign(out, mark=layout.PLAN, holds="pairs")
    with locked(out), StopRequest() as stop:
        old = folder_bytes(out) if overwrite else 0
        if not overwrite:
            plan.refuse_other(out)
        missing = list(range(plan.shards)) if overwrite else missing_shards(out, plan)
        refuse_small_disk(out, plan, missing, source, reclaimed=old)
        prepare(out, plan, overwrite=overwrite)
        done = plan.pairs - sum(len(plan.shard_range(number)) for number in missing)
        if 0 < done < plan.pairs:
            events.say(f"{done:,} of {plan.pairs:,} pairs are there already; going on.")
        events.begin("sample", total=plan.pairs, unit="pairs", done=done)

        def make(number: int) -> Iterator[list[Pair]]:
            return interruptible(make_batches(source, plan, number), stop)

        try:
            with overlapped(plan, missing, make, encoders=settings.encoders) as shards:
                for number, pairs in shards:
                    write_shard(out, plan, number, watched(pairs, done, events, stop))
                    done += len(plan.shard_range(number))
                    events.advance(done, {})
        finally:
            events.end()
        manifest = finish(out, plan)
    rejected = {"rejected": manifest.rejected} if plan.filter else {}
    return {"pairs": plan.pairs, "shards": plan.shards, "bytes": manifest.bytes, **rejected}


def open_source(settings: SampleSettings, events: Events | None = None) -> tuple[Source, Plan]:
    """Generator, transforms and encoder of the settings, loaded, and the plan they make."""
    events = events or Silent()
    device = resolve_device(settings.device)
    G = settings.load_generator(device)
    if note := terms(G):
        events.say(note)
    positives = build_transform(settings, G, device)
    if settings.transform == "random" and G.condition_kind is None:
        events.warn(f"'{G.name}' has no conditions: with 'random' an anchor and its positive have nothing in common.")
    f, sha256 = load_encoder(settings.filter_encoder, G, device) if settings.filter_encoder else (None, None)
    plan = make_plan(settings, G, positives.source, device, rules=settings.rules(sha256))
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


def interruptible(batches: Iterator[list[Pair]], stop: StopRequest) -> Iterator[list[Pair]]:
    """The same batches, until a signal comes: the next one is not begun then."""
    while not stop.received:
        if (batch := next(batches, None)) is None:
            return
        yield batch
    raise stop.stopped("between two batches; finished shards stay")


def watched(pairs: Iterator[EncodedPair], done: int, events: Events, stop: StopRequest) -> Iterator[EncodedPair]:
    """The same pairs, with progress, and with the end that a signal asks for."""
    for count, pair in enumerate(pairs, start=done):
        if stop.received:
            raise stop.stopped(f"after pair {count:,}; finished shards stay")
        if count > done and count % 100 == 0:
            events.advance(count, {})
        yield pair


def prepare(out: Path, plan: Contents, *, overwrite: bool) -> None:
    """Lay the plan into the folder; with `overwrite`, remove the pairs that are there first."""
    if overwrite:
        for name in ("shards", "records"):
            if (out / name).is_dir():
                shutil.rmtree(out / name)
        for name in ("manifest.json", "README.md", layout.PLAN):
            (out / name).unlink(missing_ok=True)
    plan.save(out)


def estimate(settings: SampleSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few pairs of it; nothing is written."""
    source, plan = open_source(settings)
    return estimate_of(source, plan, encoders=settings.encoders)
