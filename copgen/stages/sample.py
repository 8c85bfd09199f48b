"""`copgen sample`: z -> (x, x') for as many pairs as asked, written as a pairs folder.

Legend: z, z' (batch, dim) latents; x, x' (batch, C, H, W) images in [-1, 1]. Pair k is a function of (plan, k's shard).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from copgen import generators
from copgen.latents.distance import displacement
from copgen.latents.operations.implementations import choose
from copgen.pairs import (
    Contents,
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
from copgen.pairs.pixels import to_uint8
from copgen.runtime.events import Events, Silent
from copgen.runtime.lock import locked, refuse_foreign
from copgen.runtime.machine import resolve_device, versions
from copgen.runtime.signals import StopRequest
from copgen.stages.generator_choice import terms
from copgen.stages.latent_transform import Positives, TransformChoice, build_transform
from copgen.stages.rehearsal import folder_bytes, peak_memory


class SampleSettings(TransformChoice):
    """Settings of `copgen sample`."""

    free: ClassVar[frozenset[str]] = frozenset({"device"})

    n: int = Field(ge=1, description="pairs")
    batch: int = Field(
        default=500, ge=1, le=1_000_000, description="pairs through the generator at once; part of the plan"
    )
    pairs_per_shard: int = Field(default=10_000, ge=1, description="pairs in each tar file")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")


def sample(
    settings: SampleSettings, *, out: Path, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Write the pairs that are missing from the folder `out`; returns the counts of pairs and shards, and the bytes.

    Raises:
        UsageError: the folder holds pairs of another plan; the error lists each difference.
        EnvironmentFault: the folder is not writable, in use, or holds something that is no pairs folder.
        DataError: generator or navigator weights that fail verification.
        Stopped: a signal came; shards that were finished stay, and the same call goes on.
    """
    events = events or Silent()
    device = resolve_device(settings.device)
    G = settings.load_generator(device)
    if note := terms(G):
        events.say(note)
    positives = build_transform(settings, G, device)
    if settings.transform == "random" and G.condition_kind is None:
        events.warn(f"'{G.name}' has no conditions: with 'random' an anchor and its positive have nothing in common.")
    plan = make_plan(settings, G, positives.source, device)
    refuse_foreign(out, mark=layout.PLAN, holds="pairs")
    with locked(out), StopRequest() as stop:
        prepare(out, plan, overwrite=overwrite)
        missing = missing_shards(out, plan)
        done = plan.pairs - sum(len(plan.shard_range(number)) for number in missing)
        if 0 < done < plan.pairs:
            events.say(f"{done:,} of {plan.pairs:,} pairs are there already; going on.")
        events.begin("sample", total=plan.pairs, unit="pairs", done=done)
        try:
            for number in missing:
                pairs = make_pairs(G, positives, plan, number)
                write_shard(out, plan, number, watched(pairs, done, events, stop))
                done += len(plan.shard_range(number))
                events.advance(done, {})
        finally:
            events.end()
        manifest = finish(out, plan)
    return {"pairs": plan.pairs, "shards": plan.shards, "bytes": manifest.bytes}


def make_plan(
    settings: SampleSettings, G: generators.Generator, transform: TransformSource, device: torch.device
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
        image_shape=(G.channels, G.image_size, G.image_size),
        # The native and the plain operations on latents round differently in the last bits.
        versions={**versions(), **encoder_versions(), "latents": choose("navigate", device, torch.float32).name},
        device=device.type,
    )


@torch.no_grad()
def make_pairs(G: generators.Generator, positives: Positives, plan: Plan, number: int) -> Iterator[Pair]:
    """The pairs of one shard, generated in batches of the plan's size."""
    indices = plan.shard_range(number)
    for start in range(indices.start, indices.stop, plan.batch):
        rows = range(start, min(start + plan.batch, indices.stop))
        z = G.sample_prior(rows, plan.seed)
        condition = G.sample_condition(rows, plan.seed)
        x = G(z, condition)
        anchors = to_uint8(x, rounding=plan.rounding).cpu()
        images: list[Tensor] = []
        distances: list[list[float]] = []
        for transform in positives.transforms:
            z_pos = transform(z, condition, rows)
            x_pos = x if z_pos is z else G(z_pos, condition)
            images.append(to_uint8(x_pos, rounding=plan.rounding).cpu())
            distances.append([round(d, 6) for d in displacement(z, z_pos).tolist()])
        shared = G.describe_condition(condition) if condition is not None else [{}] * len(rows)
        for place, (row, known) in enumerate(zip(rows, shared, strict=True)):
            d = [of_positive[place] for of_positive in distances]
            # The first keeps its plain name, as its image does.
            metadata = {"d": d[0], **({"d_positives": d} if len(d) > 1 else {}), **known}
            several = tuple(of_positive[place] for of_positive in images)
            yield Pair(index=row, anchor=anchors[place], positives=several, metadata=metadata)


def watched(pairs: Iterator[Pair], done: int, events: Events, stop: StopRequest) -> Iterator[Pair]:
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
    """Seconds, peak memory and disk of the whole run, from one batch of it written into a temporary folder."""
    part = min(settings.n, settings.batch)
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        rehearsal = settings.model_copy(update={"n": part, "pairs_per_shard": part})
        sample(rehearsal, out=Path(folder) / "pairs")
        seconds = time.monotonic() - start
        shards = folder_bytes(Path(folder) / "pairs" / layout.SHARDS)
        fixed = folder_bytes(Path(folder)) - shards
    scale = settings.n / part
    return {"seconds": seconds * scale, "memory_bytes": peak_memory(), "disk_bytes": shards * scale + fixed}
