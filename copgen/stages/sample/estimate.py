"""The time, memory and disk that `copgen sample` needs, estimated from a rehearsal, for any number of workers.

Only the pairs that are missing in the folder count. A disk that is too small is refused.
"""

from __future__ import annotations

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
from copgen.runtime.environment import cores
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.sizes import size
from copgen.stages.sample.encoder_rate import advice
from copgen.stages.sample.out_of_memory import memory_errors
from copgen.stages.sample.pair_source import Source, open_source
from copgen.stages.sample.pool_features import parts_left, parts_of
from copgen.stages.sample.rehearsal import Rehearsal, rehearse
from copgen.stages.sample.remaining import pairs_left, with_threads
from copgen.stages.sample.settings import SampleSettings


@dataclass(frozen=True)
class Estimate:
    """The cost of a run.

    Attributes:
        pairs: number of pairs to write.
        seconds: until they are written, those of the pool included.
        pool_seconds: until the features of the pool of `nearest` are computed; else 0.
        memory_bytes: of each worker.
        disk_bytes: of the pairs and all files written with them.
        workers: number that run in parallel; further ones would share their cores or GPUs.
        rests_on: what was measured, in a few words.
        advice: a sentence if PNG encoders limit the run (encoder_rate.py).
    """

    pairs: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    workers: int
    rests_on: str
    advice: str | None
    pool_seconds: float = 0.0


@memory_errors
def estimate(
    settings: SampleSettings, *, workers: int = 1, store: Store | None = None, only: Sequence[int] = ()
) -> Estimate:
    """Time, memory and disk of a run.

    Args:
        settings: the settings of the run.
        workers: number that share the work.
        store: the folder, whose finished shards are skipped; None: empty.
        only: regenerate these shards, and no others.

    Raises:
        UsageError, DataError: as the run: a generator, navigator, walk or encoder that is missing, does not match or
            fails verification, or a folder with another plan.
        EnvironmentFault: out of memory.
    """
    source, plan = open_source(settings)
    left = plan.pairs if store is None else pairs_left(store, with_threads(plan, store, settings.threads), only)
    on_cpu = plan.device == "cpu"
    if on_cpu:
        plan = plan.model_copy(update={"threads": settings.threads or 1})
    found = rehearse(source, plan)
    named = ":" in settings.device  # cuda:1 is one GPU for any number of workers
    places = cores() // (plan.threads or 1) if on_cpu else 1 if named else torch.cuda.device_count()
    at_once = min(workers, max(1, places))
    compiling = "" if source.compiled is None else "; the time to compile G is not included"
    threads = encoders_at_once(plan, settings.encoders, workers=at_once)
    pool_seconds = images_left(source, store) * found.pool_s / at_once if left else 0.0
    return Estimate(
        pairs=left,
        seconds=pool_seconds + left * seconds_each(plan, found, encoders=settings.encoders, workers=at_once),
        memory_bytes=found.memory_bytes,
        disk_bytes=round(expected_bytes(plan, found.pairs) * left / plan.pairs),
        workers=at_once,
        rests_on=f"{len(found.pairs):,} pairs of the run, generated and encoded here{compiling}",
        advice=advice(plan, found, threads=min(threads, cores()), workers=at_once),
        pool_seconds=pool_seconds,
    )


def images_left(source: Source, store: Store | None) -> int:
    """The images of the pool of `nearest` whose features are not in the folder."""
    if source.neighbours is None:
        return 0
    count = source.neighbours.pool.count
    return sum(len(parts_of(count)[number]) for number in parts_left(store, count))


def seconds_each(plan: Plan, found: Rehearsal, *, encoders: int | None, workers: int) -> float:
    """Seconds per pair over all workers, from the bottleneck.

    That is the workers, the encoding threads, or the cores, which do both.
    """
    threads = encoders_at_once(plan, encoders, workers=workers)
    if threads == 0:  # each worker encodes its own batches
        return (found.making_s + found.encoding_s) / workers
    busy = found.encoding_s + (found.making_s * (plan.threads or 1) if plan.device == "cpu" else 0.0)
    return max(found.making_s / workers, found.encoding_s / threads, busy / cores())


def encoders_at_once(plan: Plan, encoders: int | None, *, workers: int) -> int:
    """The encoding threads of all workers: they share the default number, and have those requested each."""
    threads = encoder_threads(plan, encoders)
    return threads * workers if encoders is not None or threads == 0 else max(threads, workers)


def refuse_small_disk(out: Path, plan: Plan, missing: list[int], source: Source, *, reclaimed: int = 0) -> None:
    """Refuse a run that does not fit on the disk.

    Args:
        out: the pairs folder, which need not exist.
        plan: of the run.
        missing: the shards still to be written.
        source: for a rehearsal, if the disk does not hold the upper bound of the size.
        reclaimed: bytes that will be freed before the first shard is written.

    Raises:
        EnvironmentFault: with the needed and the free bytes.
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
            fix="Free some space, choose a folder on another disk with --out, or generate fewer pairs with --n.",
        )


def _nearest(path: Path) -> Path:
    """A path, or its closest existing parent folder."""
    return next(place for place in (path, *path.absolute().parents) if place.is_dir())
