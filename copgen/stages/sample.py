"""`copgen sample`: z -> (x, x') for as many pairs as asked, written as a pairs folder.

Legend: z, z' (batch, dim) latents; x, x' (batch, C, H, W) images in [-1, 1]. Pair k is a function of (plan, k's shard).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from copgen import generators
from copgen.latents.distance import displacement
from copgen.latents.operations.implementations import choose
from copgen.pairs import (
    GeneratorSource,
    Pair,
    Plan,
    PriorSource,
    Record,
    TransformSource,
    encoder_versions,
    finish,
    layout,
    missing_shards,
)
from copgen.pairs.manifest import known_records, written_shards
from copgen.pairs.pixels import to_uint8
from copgen.pairs.store import Store, open_store
from copgen.runtime.environment import job_place
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import cpu_threads, own_device, versions
from copgen.runtime.signals import StopRequest
from copgen.runtime.slices import ShardSlice, slice_of
from copgen.stages.latent_transform import Positives, TransformChoice, build_transform
from copgen.stages.rehearsal import folder_bytes, peak_memory
from copgen.stages.sample_choices import check_only, refuse_choices, tell_terms
from copgen.stages.sample_shards import Note, Tally, make_shards
from copgen.stages.sample_workers import run_workers


class SampleSettings(TransformChoice):
    """Settings of `copgen sample`."""

    free: ClassVar[frozenset[str]] = frozenset({"device"})

    n: int = Field(ge=1, description="pairs")
    batch: int = Field(
        default=500, ge=1, le=1_000_000, description="pairs through the generator at once; part of the plan"
    )
    pairs_per_shard: int = Field(default=10_000, ge=1, description="pairs in each tar file")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="of a CPU, for each worker, part of the plan; unset is one, or as a plan there says",
    )


@dataclass(frozen=True)
class Source:
    """What the pairs come from, and the plan that says so."""

    G: generators.Generator
    positives: Positives
    plan: Plan

    def pairs(self, number: int) -> Iterator[Pair]:
        """The pairs of shard `number`, in order."""
        return make_pairs(self.G, self.positives, self.plan, number)


def load_source(settings: SampleSettings, device: torch.device, *, planned: torch.device | None = None) -> Source:
    """Generator and transform on a device; the plan is for the device `planned`, where that is another.

    Raises:
        UsageError, DataError: a generator, navigator or walk that does not exist, fit or verify.
    """
    G = settings.load_generator(device)
    positives = build_transform(settings, G, device)
    return Source(G, positives, make_plan(settings, G, positives.source, planned or device))


def sample(
    settings: SampleSettings,
    *,
    out: Path | str,
    overwrite: bool = False,
    workers: int = 1,
    part: ShardSlice | None = None,
    only: Sequence[int] = (),
    events: Events | None = None,
) -> dict[str, Any]:
    """Write the pairs that are missing from a folder; returns the counts of pairs and shards, and the bytes.

    Args:
        settings: what the folder is to hold.
        out: its path, or a URL such as `s3://bucket/pairs`.
        overwrite: remove what is there first.
        workers: processes of this machine that share the work; one is this process itself.
        part: the shards to begin with, of several workers that write into one folder; unset takes what the variables
            of torchrun, SLURM, Kubernetes or SkyPilot say.
        only: make these shards anew, and no others.
        events: is told of progress.

    Raises:
        UsageError: the folder holds pairs of another plan; the error lists each difference. Or choices that cannot be
            meant together.
        EnvironmentFault: the folder is not writable, in use, or holds something that is no pairs folder.
        DataError: generator or navigator weights that fail verification.
        Stopped: a signal came; shards that were finished stay, and the same call goes on.
    """
    events = events or Silent()
    place = job_place()
    part = part or slice_of(place)
    refuse_choices(str(out), overwrite=overwrite, workers=workers, part=part, only=only)
    store = open_store(out)
    device = own_device(settings.device, place.local)
    source = load_source(settings, device if workers == 1 else torch.device("cpu"), planned=device)
    tell_terms(settings, source.G, events)
    if only:
        check_only(store, with_threads(source.plan, store, settings.threads), only)
    with store.writers(overwrite=overwrite), StopRequest() as stop:
        plan = with_threads(source.plan, store, settings.threads)
        plan.save(store)
        before = known_records(store, plan, only)
        there = written_shards(store, plan)
        left = list(only) or [number for number in part.order(plan.shards) if number not in there]
        whole = sum(len(plan.shard_range(number)) for number in left)
        total = whole if only else plan.pairs
        tally = Tally(total - whole, events)
        if 0 < tally.pairs < total:
            events.say(f"{tally.pairs:,} of {total:,} pairs are there already; going on.")
        elif plan.device == "cpu" and workers == 1 < len(left) and (cores := torch.get_num_threads()) > 1:
            events.say(f"One process makes them; --workers {cores} would use all cores.")
        events.begin("sample", total=total, unit="pairs", done=tally.pairs)
        try:
            if workers == 1 or not left:
                again = bool(only)
                with cpu_threads(plan.threads):
                    make_shards(
                        store, plan, left, source.pairs, note=tally.note, stop=stop, again=again, say=events.say
                    )
            else:
                del source  # each worker has its own
                tasks = [task(settings, str(out), part, place.local, worker, workers) for worker in range(workers)]
                run_workers(tasks, note=tally.note, events=events, stop=stop)
        finally:
            events.end()
        return conclude(store, plan, before=before, events=events)


def work(settings: SampleSettings, *, out: str, part: ShardSlice, local: int, note: Note, stop: StopRequest) -> None:
    """What one of several worker processes does; the folder holds the plan already. Errors as `sample`."""
    store = open_store(out)
    source = load_source(settings, own_device(settings.device, local))
    with store.writers(overwrite=False):
        plan = with_threads(source.plan, store, settings.threads)
        plan.save(store)
        missing = set(missing_shards(store, plan))
        order = [number for number in part.order(plan.shards) if number in missing]
        with cpu_threads(plan.threads):
            make_shards(store, plan, order, source.pairs, note=note, stop=stop)


def task(settings: SampleSettings, out: str, part: ShardSlice, local: int, worker: int, workers: int) -> dict[str, Any]:
    """What a worker process is told."""
    own = part.part(worker, workers)
    return {
        "settings": settings.model_dump(mode="json"),
        "out": out,
        "index": own.index,
        "count": own.count,
        "local": local * workers + worker,
        "threads": max(1, torch.get_num_threads() // workers),
    }


def with_threads(plan: Plan, store: Store, threads: int | None) -> Plan:
    """The plan with a number of threads, on a CPU: convolutions depend on it in their last bits.

    So it must not follow from the machine or the number of workers, or a shard would not be a function of the plan.
    One thread is the default: workers use the other cores better than further threads do.
    """
    if plan.device != "cpu":
        return plan
    if threads is None:
        threads = Plan.load(store).threads if store.size(layout.PLAN) is not None else 1
    return plan.model_copy(update={"threads": threads})


def conclude(store: Store, plan: Plan, *, before: Mapping[int, Record], events: Events) -> dict[str, Any]:
    """Write the manifest where all shards are there; only a run that made some of them leaves others out."""
    there = written_shards(store, plan)
    changed = [number for number, record in before.items() if there.get(number, record) != record]
    for number in changed:
        events.warn(
            f"Shard {number} is not what its record said: sha256 {before[number].sha256[:12]}... then, "
            f"{there[number].sha256[:12]}... now. Was it made on another kind of machine?"
        )
    if len(there) == plan.shards:
        finish(store, plan)
        store.tidy()
    pairs = sum(record.count for record in there.values())
    return {"pairs": pairs, "shards": len(there), "bytes": sum(record.bytes for record in there.values())}


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
