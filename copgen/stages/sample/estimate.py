"""What `copgen sample` will take: time, memory and disk, from a few pairs, for as many workers as one asks for.

The pairs are made and encoded in memory, and nothing is written; of a folder that holds some already, only what is left
counts. Where the generator has a portrait and the plan can be
foreseen, they are made of the portrait's images instead, and neither torch nor the generator is loaded.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from copgen.generators.portrait import Portrait
from copgen.pairs import EncodedPair, Plan
from copgen.pairs.pipeline import encoder_threads
from copgen.pairs.shard import add_pair, encode_members
from copgen.pairs.sizing import expected_bytes
from copgen.pairs.store import Store
from copgen.pairs.tar import TarWriter
from copgen.stages.sample.plan import foresee, with_threads
from copgen.stages.sample.remaining import pairs_left
from copgen.stages.sample.settings import SampleSettings

ENOUGH_S = 0.1  # seconds of encoding after which its speed is known


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


@dataclass(frozen=True)
class Costs:
    """What a pair costs.

    Attributes:
        making_s: seconds in which one worker makes it, with its threads or its GPU.
        encoding_s: seconds in which one thread encodes it and puts it into a tar.
    """

    making_s: float
    encoding_s: float


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
    portrait = Portrait.load(settings.generator)
    # Other batches and threads take another time for an image.
    if portrait is not None and (settings.batch, settings.threads or 1) == (portrait.batch, 1):
        plan = foresee(settings, portrait)
        if plan is not None:
            return from_portrait(settings, portrait, plan, left_of(settings, plan, store, only), workers)
    return from_rehearsal(settings, store, only, workers)


def left_of(settings: SampleSettings, plan: Plan, store: Store | None, only: Sequence[int]) -> int:
    """How many pairs the run makes."""
    return plan.pairs if store is None else pairs_left(store, with_threads(plan, store, settings.threads), only)


def from_portrait(settings: SampleSettings, portrait: Portrait, plan: Plan, left: int, workers: int) -> Estimate:
    """From the images in a portrait, encoded here, and the time they took to make there."""
    encoded, encoding_s = encode_portrait(portrait, plan)
    images = 1 if settings.transform == "none" else 1 + plan.positives
    costs = Costs(images * portrait.seconds, encoding_s)
    at_once = min(workers, cores())
    return Estimate(
        pairs=left,
        seconds=left * seconds_each(plan, costs, encoders=settings.encoders, workers=at_once),
        memory_bytes=portrait.memory_bytes,
        disk_bytes=round(expected_bytes(plan, encoded) * left / plan.pairs),
        workers=at_once,
        rests_on=f"images that come with copgen, encoded here; one took {1000 * portrait.seconds:.2g} ms to make, "
        f"on one core ({portrait.machine})",
    )


def encode_portrait(portrait: Portrait, plan: Plan) -> tuple[list[EncodedPair], float]:
    """Pairs of a portrait's images, and the seconds in which one was encoded and put into a tar."""
    images = portrait.images()
    several = {"d_positives": [0.123456] * plan.positives} if plan.positives > 1 else {}
    encoded: list[EncodedPair] = []
    tar = TarWriter(io.BytesIO())
    begin = time.process_time()
    while not encoded or time.process_time() - begin < ENOUGH_S:
        for first in range(len(images)):
            index = len(encoded)
            chosen = [images[(first + k) % len(images)] for k in range(1 + plan.positives)]
            members = encode_members(plan, chosen, {"index": index, "d": 0.123456, **several})
            encoded.append(EncodedPair(index, members))
            add_pair(tar, plan, encoded[-1])
    tar.close()
    return encoded, (time.process_time() - begin) / len(encoded)


def from_rehearsal(settings: SampleSettings, store: Store | None, only: Sequence[int], workers: int) -> Estimate:
    """From a few pairs of the run itself, made and encoded here."""
    import torch

    from copgen.stages.sample.preflight import rehearse
    from copgen.stages.sample.source import open_source

    source, plan = open_source(settings)
    left = left_of(settings, plan, store, only)
    on_cpu = plan.device == "cpu"
    if on_cpu:
        plan = plan.model_copy(update={"threads": settings.threads or 1})
    found = rehearse(source, plan)
    named = ":" in settings.device  # cuda:1 is one GPU, however many workers share it
    places = cores() // (plan.threads or 1) if on_cpu else 1 if named else torch.cuda.device_count()
    at_once = min(workers, max(1, places))
    costs = Costs(found.making_s, found.encoding_s)
    compiling = "" if source.compiled is None else "; compiling G comes on top of it"
    return Estimate(
        pairs=left,
        seconds=left * seconds_each(plan, costs, encoders=settings.encoders, workers=at_once),
        memory_bytes=found.memory_bytes,
        disk_bytes=round(expected_bytes(plan, found.pairs) * left / plan.pairs),
        workers=at_once,
        rests_on=f"{len(found.pairs):,} pairs of the run, made and encoded here{compiling}",
    )


def seconds_each(plan: Plan, costs: Costs, *, encoders: int | None, workers: int) -> float:
    """Seconds from one finished pair to the next, of all workers together: what there is least of decides.

    That is the workers, the threads that encode, or the cores, on which both have to be done.
    """
    threads = encoder_threads(plan, encoders)
    if threads == 0:  # each worker encodes between its batches
        return (costs.making_s + costs.encoding_s) / workers
    threads = max(threads, workers) if encoders is None else threads * workers
    busy = costs.encoding_s + (costs.making_s * (plan.threads or 1) if plan.device == "cpu" else 0.0)
    return max(costs.making_s / workers, costs.encoding_s / threads, busy / cores())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
