"""What `copgen sample` will take: time, memory and disk, from a rehearsal, for as many workers as one asks for.

Of a folder that holds some pairs already, only what is left counts. A disk that cannot hold it is refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from copgen.pairs import Plan
from copgen.pairs.pipeline import encoder_threads
from copgen.pairs.record import load_record
from copgen.pairs.sizing import expected_bytes, most_bytes
from copgen.pairs.store import Store
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.sizes import size
from copgen.stages.sample.pair_source import Source, open_source
from copgen.stages.sample.rehearsal import Rehearsal, rehearse
from copgen.stages.sample.remaining import pairs_left, with_threads
from copgen.stages.sample.settings import SampleSettings


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        pairs: that are left to make.
        seconds: until they are written.
        memory_bytes: of each worker.
        disk_bytes: that they take, with all that is written beside them.
        workers: that work at the same time; further ones share cores or GPUs with them.
        rests_on: what was looked at, in a few words.
    """

    pairs: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    workers: int
    rests_on: str


def estimate(
    settings: SampleSettings, *, workers: int = 1, store: Store | None = None, only: Sequence[int] = ()
) -> Estimate:
    """Time, memory and disk of a run.

    Args:
        settings: what the folder is to hold.
        workers: that share the work.
        store: the folder, whose shards need not be made again; None for one that is empty.
        only: make these shards of it anew, and no others.

    Raises:
        UsageError, DataError: as the run would: a generator, navigator, walk or encoder that does not exist, fit or
            verify, or a folder with another plan.
    """
    source, plan = open_source(settings)
    left = plan.pairs if store is None else pairs_left(store, with_threads(plan, store, settings.threads), only)
    on_cpu = plan.device == "cpu"
    if on_cpu:
        plan = plan.model_copy(update={"threads": settings.threads or 1})
    found = rehearse(source, plan)
    named = ":" in settings.device  # cuda:1 is one GPU, however many workers share it
    places = cores() // (plan.threads or 1) if on_cpu else 1 if named else torch.cuda.device_count()
    at_once = min(workers, max(1, places))
    compiling = "" if source.compiled is None else "; compiling G comes on top of it"
    return Estimate(
        pairs=left,
        seconds=left * seconds_each(plan, found, encoders=settings.encoders, workers=at_once),
        memory_bytes=found.memory_bytes,
        disk_bytes=round(expected_bytes(plan, found.pairs) * left / plan.pairs),
        workers=at_once,
        rests_on=f"{len(found.pairs):,} pairs of the run, made and encoded here{compiling}",
    )


def seconds_each(plan: Plan, found: Rehearsal, *, encoders: int | None, workers: int) -> float:
    """Seconds from one finished pair to the next, of all workers together: what there is least of decides.

    That is the workers, the threads that encode, or the cores, on which both have to be done.
    """
    threads = encoder_threads(plan, encoders)
    if threads == 0:  # each worker encodes between its batches
        return (found.making_s + found.encoding_s) / workers
    threads = max(threads, workers) if encoders is None else threads * workers
    busy = found.encoding_s + (found.making_s * (plan.threads or 1) if plan.device == "cpu" else 0.0)
    return max(found.making_s / workers, found.encoding_s / threads, busy / cores())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def refuse_small_disk(out: Path, plan: Plan, missing: list[int], source: Source, *, reclaimed: int = 0) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        out: the pairs folder, which need not be there.
        plan: of the run.
        missing: the shards still to be written.
        source: what to make pairs with, where the disk is not large enough for whatever they may be.
        reclaimed: bytes that will be freed before the first shard is written.

    Raises:
        EnvironmentFault: with the bytes that are needed and those that are free.
    """
    free = shutil.disk_usage(_nearest(out)).free + reclaimed
    share = sum(len(plan.shard_range(number)) for number in missing) / plan.pairs
    if most_bytes(plan) * share <= free or not missing:
        return
    there = set(range(plan.shards)).difference(missing)
    if there:
        records = [load_record(out, plan, number) for number in there]
        written = sum(record.bytes + record.index_bytes for record in records) / sum(record.count for record in records)
        needed = round(written * share * plan.pairs)
    else:
        needed = round(expected_bytes(plan, rehearse(source, plan).pairs) * share)
    if needed > free:
        raise EnvironmentFault(
            f"The disk is too small: these pairs need about {size(needed)} more, and {size(free)} are free at {out}.",
            fix="Free some space, name a folder on another disk with --out, or ask for fewer pairs with --n.",
        )


def _nearest(path: Path) -> Path:
    """A path, or the first folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.is_dir())
