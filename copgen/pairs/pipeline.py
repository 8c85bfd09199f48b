"""Generate, encode and write pairs concurrently, so that the device waits neither for encoders nor for the disk.

    one thread         queues batches of pairs on the device, shard after shard, at most AHEAD of them in advance
    several threads    wait for their pixels and encode them, in slices of a batch
    the caller         takes encoded pairs in order, and writes them

For images of a few thousand bytes compression takes less time than the Python code around it, and threads would only
compete for the GIL: on a CPU the caller does everything, one batch after the other. A GPU would be idle while it
encodes, so there one thread encodes. Memory is bounded by AHEAD + 2 batches
of pixels, whatever the number of pairs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeVar

from copgen.pairs.plan import Plan
from copgen.pairs.shard import EncodedPair, Pair, encode_pair
from copgen.runtime.environment import own_cores

AHEAD = 2
WAKE_S = 0.5
SMALL = 64 * 64  # bytes of an image up to which threads do not help
Batches = Iterator[Sequence[Pair]]
Encoding = list[Future[list[EncodedPair]]]  # a batch that is being encoded
Shards = Iterator[tuple[int, Iterator[EncodedPair]]]
ResultT = TypeVar("ResultT")


def encoder_threads(plan: Plan, requested: int | None = None) -> int:
    """The number of encoder threads: as requested, else as many as help. 0: the caller encodes between batches."""
    if requested is not None:
        return requested
    channels, height, width = plan.image_shape
    if channels * height * width > SMALL:
        return own_cores()
    return 0 if plan.device == "cpu" else 1


@contextmanager
def overlapped(
    plan: Plan, numbers: Iterable[int], make: Callable[[int], Batches], *, encoders: int | None = None
) -> Iterator[Shards]:
    """Yield each shard's number and encoded pairs while the next shards are being generated.

    Args:
        plan: the plan of the folder.
        numbers: the shards to make; consumed in another thread, each when the one before is generated.
        make: returns the batches of pairs of a shard, in order; runs in that thread too. Slices of a batch are taken
            in encoder threads.
        encoders: number of encoder threads, as in `encoder_threads`.

    The pairs of a shard must be consumed before the next shard. An exception from `numbers`, `make` or an encoder is
    raised at the pair where it occurred. When the block ends, the batch in progress is finished and discarded.
    """
    threads = encoder_threads(plan, encoders)
    if not threads:
        batches = (batch for number in numbers for batch in make(number))
        yield _by_shard(plan, (encode_pair(plan, pair) for batch in batches for pair in batch))
        return
    making = ThreadPoolExecutor(1, thread_name_prefix="make")
    encoding = ThreadPoolExecutor(threads, thread_name_prefix="encode")

    def submitted() -> Iterator[Encoding]:
        for number in numbers:
            for batch in make(number):
                size = -(-len(batch) // (2 * threads))
                slices = [slice(start, start + size) for start in range(0, len(batch), size)]
                yield [encoding.submit(_encode, plan, batch, part) for part in slices]

    try:
        yield _by_shard(plan, _encoded(_ahead(submitted(), making)))
    finally:
        making.shutdown(cancel_futures=True)
        encoding.shutdown(cancel_futures=True)


def _encode(plan: Plan, batch: Sequence[Pair], part: slice) -> list[EncodedPair]:
    # Pillow releases the GIL while it compresses PNG and WebP, but for JPEG only if it writes to a real file.
    with os.fdopen(os.memfd_create("images"), "w+b", buffering=0) as scratch:
        return [encode_pair(plan, pair, scratch) for pair in batch[part]]


def _ahead(batches: Iterator[Encoding], thread: ThreadPoolExecutor) -> Iterator[Encoding]:
    """The same batches, with the next ones prepared in the executor's single thread."""
    futures = deque(thread.submit(next, batches, None) for _ in range(AHEAD))
    while (batch := _result(futures.popleft())) is not None:
        futures.append(thread.submit(next, batches, None))
        yield batch


def _encoded(batches: Iterator[Encoding]) -> Iterator[EncodedPair]:
    for futures in batches:
        for future in futures:
            yield from _result(future)


def _result(future: Future[ResultT]) -> ResultT:
    """Its result; the main thread wakes up while it waits, as a signal may have come just before it fell asleep."""
    while not future.done():
        wait([future], WAKE_S)
    return future.result()


def _by_shard(plan: Plan, pairs: Iterator[EncodedPair]) -> Shards:
    """Split the stream into the plan's shards, without reading beyond the end of a shard."""
    for first in pairs:
        number = first.index // plan.pairs_per_shard
        rest = islice(pairs, len(plan.shard_range(number)) - 1)
        yield number, chain((first,), rest)
