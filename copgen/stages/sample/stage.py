"""`copgen sample`: generate pairs z -> (x, x') and write them as a pairs folder, with any number of workers.

Pair k is a function of the plan and of k's shard (batches.py); workers claim shards dynamically (shards.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from copgen.distributed.slices import ShardSlice, slice_of
from copgen.pairs import Plan, Record, finish, layout, missing_shards
from copgen.pairs.manifest import known_records, written_shards
from copgen.pairs.pipeline import Batches, encoder_threads
from copgen.pairs.store import LocalStore, Store, open_store
from copgen.runtime.environment import cores, job_place
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import cpu_threads, own_device
from copgen.runtime.path_errors import path_errors
from copgen.runtime.signals import StopRequest
from copgen.stages.sample.batches import make_batches
from copgen.stages.sample.conflicts import refuse_choices, tell_terms
from copgen.stages.sample.estimate import estimate, refuse_small_disk
from copgen.stages.sample.out_of_memory import memory_errors
from copgen.stages.sample.pair_source import Source, open_source
from copgen.stages.sample.plan_settings import places_of
from copgen.stages.sample.pool_features import with_features
from copgen.stages.sample.remaining import check_only, with_threads
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.shards import Note, Tally, make_shards
from copgen.stages.sample.workers import run_workers
from copgen.training.estimate import folder_bytes

__all__ = ["estimate", "open_source", "sample", "work"]


@path_errors()
@memory_errors
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
    """Write the pairs that are missing in a folder; returns the counts of pairs and shards, and the bytes.

    Regenerated shards that differ from their recorded hashes are listed as `changed`.

    Args:
        settings: of the run.
        out: the folder, or a URL such as `s3://bucket/pairs`.
        overwrite: remove existing pairs first.
        workers: number of processes on this machine that share the work; 1: this process.
        part: the shards to start with, for one of several workers that write into one folder; None: from the
            environment variables of torchrun, SLURM, Kubernetes or SkyPilot.
        only: regenerate these shards, and no others.
        events: receives progress and messages.

    Raises:
        UsageError: the folder holds pairs of another plan (the error lists each difference), or the filter rejected
            as many draws of a pair as it allows.
        EnvironmentFault: the folder is not writable, in use, or not a pairs folder; the disk is too small; or the
            device is out of memory.
        DataError: generator, navigator or encoder weights that fail verification.
        Stopped: a signal arrived; finished shards are kept, and the same call resumes.
    """
    events = events or Silent()
    place = job_place()
    part = part or slice_of(place)
    refuse_choices(str(out), overwrite=overwrite, workers=workers, part=part, only=only)
    store = open_store(out)
    device = own_device(settings.device, place.local)
    source, plan = open_source(settings, device if workers == 1 else torch.device("cpu"), planned=device, events=events)
    tell_terms(settings, source.G, events)
    if only:
        check_only(store, with_threads(plan, store, settings.threads), only)
    anew = overwrite or store.size(layout.PLAN) is None
    if anew:
        check_disk(store, plan, list(range(plan.shards)), source, overwrite=overwrite)
    with store.writers(overwrite=overwrite), StopRequest() as stop:
        plan = with_threads(plan, store, settings.threads)
        plan.save(store)
        places_of(settings).save(store)
        before = known_records(store, plan, only)
        there = written_shards(store, plan)
        left = list(only) or [number for number in part.order(plan.shards) if number not in there]
        if not (only or anew):
            check_disk(store, plan, left, source)
        whole = sum(len(plan.shard_range(number)) for number in left)
        total = whole if only else plan.pairs
        tally = Tally(total - whole, events)
        if 0 < tally.pairs < total:
            events.say(f"{tally.pairs:,} of {total:,} pairs are written already; resuming.")
        elif plan.device == "cpu" and workers == 1 < len(left) and (most := min(cores(), torch.get_num_threads())) > 1:
            events.say(f"Using one process; --workers {most} would use all cores.")
        if settings.compile != "off" and left:
            events.say("Compiling G, which may take minutes.")
        if left and source.neighbours is not None:
            source = share_pool(source, store, plan, stop, workers=workers, again=bool(only), events=events)
        events.begin("sample", total=total, unit="pairs", done=tally.pairs)
        try:
            if workers == 1 or not left:
                make_shards(
                    store,
                    plan,
                    left,
                    batches_of(source, plan, stop),
                    note=tally.note,
                    stop=stop,
                    encoders=settings.encoders,
                    again=bool(only),
                    say=events.say,
                )
            else:
                del source  # each worker loads its own
                several = min(workers, len(left))
                share = share_encoders(settings, plan, several)
                tasks = [task(share, str(out), part, place.local, worker, several) for worker in range(several)]
                run_workers(tasks, note=tally.note, events=events, stop=stop)
        finally:
            events.end()
        return conclude(store, plan, before=before, events=events)


@path_errors()
def work(settings: SampleSettings, *, out: str, part: ShardSlice, local: int, note: Note, stop: StopRequest) -> None:
    """Run one of several worker processes; the folder already holds the plan. Errors as `sample`."""
    store = open_store(out)
    source, plan = open_source(settings, own_device(settings.device, local))
    with store.writers(overwrite=False):
        plan = with_threads(plan, store, settings.threads)
        plan.save(store)
        missing = set(missing_shards(store, plan))
        order = [number for number in part.order(plan.shards) if number in missing]
        if order:
            source = with_features(source, store, plan, stop, needed=lambda: bool(missing_shards(store, plan)))
        make = batches_of(source, plan, stop)
        make_shards(store, plan, order, make, note=note, stop=stop, encoders=settings.encoders)


def batches_of(source: Source, plan: Plan, stop: StopRequest) -> Callable[[int], Batches]:
    """A function that yields the batches of a shard, in any thread, until a signal arrives."""

    def make(number: int) -> Batches:
        with cpu_threads(plan.threads):
            yield from interruptible(make_batches(source, plan, number), stop)

    return make


def share_pool(
    source: Source, store: Store, plan: Plan, stop: StopRequest, *, workers: int, again: bool, events: Events
) -> Source:
    """The source with the features of its pool, if this process writes the pairs; its workers compute their own.

    `again`: shards that are there are regenerated.
    """
    assert source.neighbours is not None
    count = source.neighbours.pool.count
    if workers > 1:
        events.say(f"The workers first compute the features of a pool of {count:,} images, which they share.")
        return source
    events.begin("pool", total=count, unit="images")
    try:
        return with_features(
            source,
            store,
            plan,
            stop,
            progress=lambda images: events.advance(images, {}),
            needed=lambda: again or bool(missing_shards(store, plan)),
        )
    finally:
        events.end()


def check_disk(store: Store, plan: Plan, missing: list[int], source: Source, *, overwrite: bool = False) -> None:
    """Refuse a folder on a disk that is too small for these shards; an object store is unlimited."""
    if isinstance(store, LocalStore):
        reclaimed = folder_bytes(store.folder) if overwrite else 0
        refuse_small_disk(store.folder, plan, missing, source, reclaimed=reclaimed)


def share_encoders(settings: SampleSettings, plan: Plan, workers: int) -> SampleSettings:
    """The settings of one of several workers, with its share of the encoding threads unless these were given."""
    threads = encoder_threads(plan)
    if settings.encoders is not None or threads == 0:
        return settings
    return settings.replaced(encoders=max(1, threads // workers))


def task(settings: SampleSettings, out: str, part: ShardSlice, local: int, worker: int, workers: int) -> dict[str, Any]:
    """The task of a worker process."""
    own = part.part(worker, workers)
    return {
        "settings": settings.model_dump(mode="json"),
        "out": out,
        "index": own.index,
        "count": own.count,
        "local": local * workers + worker,
        "threads": max(1, torch.get_num_threads() // workers),
    }


def conclude(store: Store, plan: Plan, *, before: Mapping[int, Record], events: Events) -> dict[str, Any]:
    """Write the manifest if all shards exist; only a run with `only` leaves others missing."""
    there = written_shards(store, plan)
    changed = [number for number, record in before.items() if there.get(number, record) != record]
    for number in changed:
        events.warn(
            f"Shard {number} differs from its recorded hash: sha256 {before[number].sha256[:12]}... before, "
            f"{there[number].sha256[:12]}... now. It may have been written on another kind of machine."
        )
    if len(there) == plan.shards:
        finish(store, plan)
        store.tidy()
    counts: dict[str, Any] = {
        "pairs": sum(record.count for record in there.values()),
        "shards": len(there),
        "bytes": sum(record.bytes for record in there.values()),
    }
    if plan.filter:
        counts["rejected"] = sum(record.rejected for record in there.values())
    if changed:
        counts["changed"] = changed
    return counts


def interruptible(batches: Batches, stop: StopRequest) -> Batches:
    """The same batches, until a signal arrives: then the next one is not started."""
    while not stop.received:
        if (batch := next(batches, None)) is None:
            return
        yield batch
    raise stop.stopped("between two batches; finished shards are kept")
