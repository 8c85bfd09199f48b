"""`copgen sample`: z -> (x, x') for as many pairs as asked, written as a pairs folder by any number of workers.

Pair k is a function of the plan and of k's shard (batches.py); which worker makes which shard is decided as they go
(shards.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from copgen.distributed.slices import ShardSlice, slice_of
from copgen.pairs import Pair, Plan, Record, finish, layout, missing_shards
from copgen.pairs.manifest import known_records, written_shards
from copgen.pairs.pipeline import encoder_threads
from copgen.pairs.store import LocalStore, Store, open_store
from copgen.runtime.environment import job_place
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import cpu_threads, own_device
from copgen.runtime.signals import StopRequest
from copgen.stages.sample.batches import make_batches
from copgen.stages.sample.conflicts import refuse_choices, tell_terms
from copgen.stages.sample.estimate import estimate, refuse_small_disk
from copgen.stages.sample.pair_source import Source, open_source
from copgen.stages.sample.plan_settings import places_of
from copgen.stages.sample.remaining import check_only, with_threads
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.shards import Note, Tally, make_shards
from copgen.stages.sample.workers import run_workers
from copgen.training.estimate import folder_bytes

__all__ = ["estimate", "open_source", "sample", "work"]


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

    Shards that were made anew, and are not what their records said, are listed as `changed`.

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
        UsageError: the folder holds pairs of another plan, and the error lists each difference; or a pair had as many
            draws refused by the filter as it allows.
        EnvironmentFault: the folder is not writable, in use, or holds something that is no pairs folder; or the disk
            is too small.
        DataError: generator, navigator or encoder weights that fail verification.
        Stopped: a signal came; shards that were finished stay, and the same call goes on.
    """
    events = events or Silent()
    place = job_place()
    part = part or slice_of(place)
    refuse_choices(str(out), overwrite=overwrite, workers=workers, part=part, only=only)
    store = open_store(out)
    device = own_device(settings.device, place.local)
    source, plan = open_source(settings, device if workers == 1 else torch.device("cpu"), planned=device)
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
            events.say(f"{tally.pairs:,} of {total:,} pairs are there already; going on.")
        elif plan.device == "cpu" and workers == 1 < len(left) and (cores := torch.get_num_threads()) > 1:
            events.say(f"One process makes them; --workers {cores} would use all cores.")
        if settings.compile != "off" and left:
            events.say("G is compiled first, which may take minutes.")
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
                del source  # each worker has its own
                several = min(workers, len(left))
                share = share_encoders(settings, plan, several)
                tasks = [task(share, str(out), part, place.local, worker, several) for worker in range(several)]
                run_workers(tasks, note=tally.note, events=events, stop=stop)
        finally:
            events.end()
        return conclude(store, plan, before=before, events=events)


def work(settings: SampleSettings, *, out: str, part: ShardSlice, local: int, note: Note, stop: StopRequest) -> None:
    """What one of several worker processes does; the folder holds the plan already. Errors as `sample`."""
    store = open_store(out)
    source, plan = open_source(settings, own_device(settings.device, local))
    with store.writers(overwrite=False):
        plan = with_threads(plan, store, settings.threads)
        plan.save(store)
        missing = set(missing_shards(store, plan))
        order = [number for number in part.order(plan.shards) if number in missing]
        make = batches_of(source, plan, stop)
        make_shards(store, plan, order, make, note=note, stop=stop, encoders=settings.encoders)


def batches_of(source: Source, plan: Plan, stop: StopRequest) -> Callable[[int], Iterator[list[Pair]]]:
    """What makes the batches of a shard, in whichever thread, until a signal comes."""

    def make(number: int) -> Iterator[list[Pair]]:
        with cpu_threads(plan.threads):
            yield from interruptible(make_batches(source, plan, number), stop)

    return make


def check_disk(store: Store, plan: Plan, missing: list[int], source: Source, *, overwrite: bool = False) -> None:
    """Refuse a folder on a disk that cannot hold these shards; an object store has no end."""
    if isinstance(store, LocalStore):
        reclaimed = folder_bytes(store.folder) if overwrite else 0
        refuse_small_disk(store.folder, plan, missing, source, reclaimed=reclaimed)


def share_encoders(settings: SampleSettings, plan: Plan, workers: int) -> SampleSettings:
    """The settings of one of several workers, with a share of the threads that encode; those that were named stay."""
    threads = encoder_threads(plan)
    if settings.encoders is not None or threads == 0:
        return settings
    return settings.replaced(encoders=max(1, threads // workers))


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


def interruptible(batches: Iterator[list[Pair]], stop: StopRequest) -> Iterator[list[Pair]]:
    """The same batches, until a signal comes: the next one is not begun then."""
    while not stop.received:
        if (batch := next(batches, None)) is None:
            return
        yield batch
    raise stop.stopped("between two batches; finished shards stay")
