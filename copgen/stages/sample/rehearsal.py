"""A rehearsal of `copgen sample`: a few pairs of the run are generated and encoded in memory; nothing is written.

Its cost does not depend on the number of pairs.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from copgen.pairs import EncodedPair, Plan, encode_pair
from copgen.pairs.pipeline import AHEAD
from copgen.pairs.shard import add_pair
from copgen.pairs.tar import TarWriter
from copgen.runtime.machine import cpu_threads
from copgen.stages.sample.batches import make_pairs
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.pool_features import rehearsed
from copgen.training.estimate import peak_memory

FEW = 16  # pairs that are always generated; each further part of a batch is four times as large
MANY = 256  # enough pairs, over several batches, to know their sizes
ENOUGH_S = 0.25  # seconds after which no further part is started; small parts take longer per pair


@dataclass(frozen=True)
class Rehearsal:
    """The cost of a few pairs of a run.

    Attributes:
        pairs: the encoded pairs; their sizes are those of the run.
        making_s: seconds per pair in G, from the last part.
        encoding_s: seconds per pair for one thread to encode it and write it to a tar.
        pool_s: seconds per image of the pool of `nearest`, for its features; else 0.
        memory_bytes: peak memory of the process, extrapolated from the last part to a whole batch.
    """

    pairs: list[EncodedPair]
    making_s: float
    encoding_s: float
    memory_bytes: int
    pool_s: float = 0.0


def rehearse(source: Source, plan: Plan) -> Rehearsal:
    """Generate and encode 16 pairs of a batch, then 64, ..., then whole batches, while that is fast.

    Fewer than 16 pairs say too little about the size of the others, however long they take. A compiled G generates
    only whole batches, after one that is not counted.
    """
    encoded: list[EncodedPair] = []
    most = plan.rows_at_once
    if source.compiled is not None:
        with torch.no_grad(), cpu_threads(plan.threads):
            list(make_pairs(source, plan, range(1)))  # compiles G
    source, pool_s = rehearsed(source, plan)
    began = time.perf_counter()
    for rows in _parts(plan, whole=source.compiled is not None):
        before = _peak(source)
        start = time.perf_counter()
        with torch.no_grad(), cpu_threads(plan.threads):
            pairs = list(make_pairs(source, plan, rows))
        made = time.perf_counter()
        part = [encode_pair(plan, pair) for pair in pairs]
        tar = TarWriter(io.BytesIO())
        for pair in part:
            add_pair(tar, plan, pair)
        tar.close()
        done = time.perf_counter()
        encoded = [*encoded[: rows.start], *part]
        if done - began > ENOUGH_S and len(encoded) >= min(FEW, plan.pairs):
            break
    after = _peak(source)
    pixels = (1 + plan.positives) * torch.Size(plan.image_shape).numel()
    waiting = (AHEAD + 1) * most * pixels
    memory = after + (after - before) * (most - len(part)) // len(part) + waiting
    return Rehearsal(encoded, (made - start) / len(part), (done - made) / len(part), memory, pool_s)


def _parts(plan: Plan, *, whole: bool) -> Iterator[range]:
    """The rows of each part: growing parts of the first batch, unless `whole`, and then batch by batch."""
    most, part = plan.rows_at_once, FEW
    while part < most and not whole:
        yield range(part)
        part *= 4
    for start in range(0, min(plan.pairs, MANY), most):
        yield range(start, min(start + most, plan.pairs))


def _peak(source: Source) -> int:
    """Peak memory so far, of the device that G is on."""
    held = next(source.G.parameters(), None)
    if held is not None and held.is_cuda:
        return torch.cuda.max_memory_allocated(held.device)
    return peak_memory()
