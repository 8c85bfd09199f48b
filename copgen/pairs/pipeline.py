"""Making, encoding and writing pairs at the same time, so that the device waits neither for encoders nor for the disk.

    one thread         makes batches of pairs, shard after shard; at most AHEAD are finished before they are needed
    several threads    encode them, in slices of a batch
    the caller         takes encoded pairs in their order, and writes them

Images of a few thousand bytes are compressed in less time than what surrounds it in Python takes, and threads would
only take the interpreter from each other: there the caller does everything, one batch after the other. Memory is
bounded by AHEAD + 2 batches of pixels, whatever the number of pairs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice

from copgen.pairs.plan import Plan
from copgen.pairs.shard import EncodedPair, Pair, encode_pair

AHEAD = 2
SMALL = 64 * 64  # bytes of an image up to which threads do not pay
Batches = Iterator[list[Pair]]
Encoding = list[Future[list[EncodedPair]]]  # a batch, on its way through the encoders
Shards = Iterator[tuple[int, Iterator[EncodedPair]]]


def encoder_threads(plan: Plan, wanted: int | None = None) -> int:
    """How many threads encode images: those wanted, else as many as help. 0: the caller does it between batches."""
    if wanted is not None:
        return wanted
    channels, height, width = plan.image_shape
    return 0 if channels * height * width <= SMALL else len(os.sched_getaffinity(0))


@contextmanager
def overlapped(
    plan: Plan, numbers: Iterable[int], make: Callable[[int], Batches], *, encoders: int | None = None
) -> Iterator[Shards]:
    """Shard by shard, its number and its encoded pairs, while the next ones are being made.

    Args:
        plan: what the folder holds.
        numbers: of the shards to make; taken one by one in another thread, when the one before is made.
        make: the batches of pairs of a shard, in order; runs in that thread too.
        encoders: threads that encode, as `encoder_threads` takes them.

    The pairs of a shard have to be taken before the next shard is. What `numbers`, `make` or an encoder raises comes
    out at the pair that it happened at. When the block ends, what is being made is finished and thrown away.
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
                slices = [batch[start : start + size] for start in range(0, len(batch), size)]
                yield [encoding.submit(_encode, plan, part) for part in slices]

    try:
        yield _by_shard(plan, _encoded(_ahead(submitted(), making)))
    finally:
        making.shutdown(cancel_futures=True)
        encoding.shutdown(cancel_futures=True)


def _encode(plan: Plan, pairs: list[Pair]) -> list[EncodedPair]:
    # Pillow lets other threads run while it compresses PNG and WebP, but JPEG only into a file that the system knows.
    with os.fdopen(os.memfd_create("images"), "w+b", buffering=0) as scratch:
        return [encode_pair(plan, pair, scratch) for pair in pairs]


def _ahead(batches: Iterator[Encoding], thread: ThreadPoolExecutor) -> Iterator[Encoding]:
    """The same batches, of which the next ones are made in the one thread of an executor."""
    futures = deque(thread.submit(next, batches, None) for _ in range(AHEAD))
    while (batch := futures.popleft().result()) is not None:
        futures.append(thread.submit(next, batches, None))
        yield batch


def _encoded(batches: Iterator[Encoding]) -> Iterator[EncodedPair]:
    for futures in batches:
        for future in futures:
            yield from future.result()


def _by_shard(plan: Plan, pairs: Iterator[EncodedPair]) -> Shards:
    """Cuts the stream where the plan says, without a look beyond the end of a shard."""
    for first in pairs:
        number = first.index // plan.pairs_per_shard
        rest = islice(pairs, len(plan.shard_range(number)) - 1)
        yield number, chain((first,), rest)
