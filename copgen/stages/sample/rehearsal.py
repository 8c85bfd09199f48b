"""A rehearsal of `copgen sample`: a few pairs of the run are made and encoded in memory, and nothing is written.

Nothing here grows with the number of pairs.
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
from copgen.training.estimate import peak_memory

FEW = 16  # pairs that are made in any case; each further part of a batch is four times as large
MANY = 256  # pairs of several batches after which their sizes are known
ENOUGH_S = 0.25  # seconds after which no further part is begun; small parts take longer for a pair


@dataclass(frozen=True)
class Rehearsal:
    """What a few pairs of a run took.

    Attributes:
        pairs: encoded; their sizes are those of the run's.
        making_s: seconds in which G made one of the last part.
        encoding_s: seconds in which one thread encoded one of them and put it into a tar.
        memory_bytes: the process's peak, the last part's share in it extended to a whole batch.
    """

    pairs: list[EncodedPair]
    making_s: float
    encoding_s: float
    memory_bytes: int


def rehearse(source: Source, plan: Plan) -> Rehearsal:
    """Make and encode 16 pairs of a batch, then 64, ..., then whole batches, as long as that is a matter of moments.

    Fewer pairs than 16 say too little of the others' sizes, however long they take. A compiled G makes whole batches
    only, after one that is not counted.
    """
    encoded: list[EncodedPair] = []
    most = plan.rows_at_once
    if source.compiled is not None:
        with torch.no_grad(), cpu_threads(plan.threads):
            make_pairs(source, plan, range(1))  # now it is compiled
    began = time.perf_counter()
    for rows in _parts(plan, whole=source.compiled is not None):
        before = _peak(source)
        start = time.perf_counter()
        with torch.no_grad(), cpu_threads(plan.threads):
            pairs = make_pairs(source, plan, rows)
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
    return Rehearsal(encoded, (made - start) / len(part), (done - made) / len(part), memory)


def _parts(plan: Plan, *, whole: bool) -> Iterator[range]:
    """The rows of each part: more and more of the first batch, unless it is to be whole, and then batch by batch."""
    most, part = plan.rows_at_once, FEW
    while part < most and not whole:
        yield range(part)
        part *= 4
    for start in range(0, min(plan.pairs, MANY), most):
        yield range(start, min(start + most, plan.pairs))


def _peak(source: Source) -> int:
    """The peak of memory so far, of the device that G is on."""
    held = next(source.G.parameters(), None)
    if held is not None and held.is_cuda:
        return torch.cuda.max_memory_allocated(held.device)
    return peak_memory()
