"""One worker of `sample`: claims a missing shard, writes it, and repeats until all shards exist.

Workers coordinate through the folder alone (`copgen.pairs.claims`), so they may start and end at any time, on any
machine. Each runs until all shards have their records, and takes over the shards of dead workers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from copgen.pairs import EncodedPair, Plan, layout, write_shard
from copgen.pairs.claims import LEASE_S, Claims
from copgen.pairs.manifest import is_written
from copgen.pairs.pipeline import Batches, overlapped
from copgen.pairs.store import Store
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.events import Events
from copgen.runtime.signals import StopRequest

Note = Callable[[int, int], None]  # (shard, number of its finished pairs)
EVERY = 100  # pairs between two notes


class Tally:
    """Counts the finished pairs of all workers and reports them.

    Args:
        pairs: number on disk at the start.
        events: receives every change.
    """

    def __init__(self, pairs: int, events: Events) -> None:
        self.pairs = pairs
        self._of_shard: dict[int, int] = {}
        self._events = events
        self._turn = threading.Lock()  # shards of other workers are counted by the thread that generates pairs

    def note(self, number: int, pairs: int) -> None:
        """Set the number of finished pairs of shard `number`."""
        with self._turn:
            self.pairs += pairs - self._of_shard.get(number, 0)
            self._of_shard[number] = pairs
            self._events.advance(self.pairs, {})


def make_shards(
    store: Store,
    plan: Plan,
    numbers: Iterable[int],
    make: Callable[[int], Batches],
    *,
    note: Note,
    stop: StopRequest,
    encoders: int | None = None,
    again: bool = False,
    say: Callable[[str], None] = lambda text: None,
    lease_s: float = LEASE_S,
) -> None:
    """Write these shards in parallel with other workers; returns when all exist, whoever wrote them.

    Args:
        store: of the pairs folder, which holds the plan.
        plan: of the folder.
        numbers: the missing shards, in the order in which this worker tries them.
        make: yields the batches of a shard, in order; runs in a separate thread.
        note: receives the progress of each shard.
        stop: is checked between two pairs.
        encoders: number of encoding threads, see `overlapped`.
        again: write also those that another worker has finished in the meantime.
        say: is called when only shards of other workers are left.
        lease_s: seconds without a heartbeat after which a claim of another machine is stale.

    Raises:
        Stopped: a signal arrived; finished shards are kept.
        EnvironmentFault: the disk is full or the store cannot be reached.
    """
    left = dict.fromkeys(numbers)
    with Claims(store, lease_s=lease_s) as claims:
        while left:
            choice = Choice(store, plan, left, claims, note=note, stop=stop, again=again, say=say)
            lost: dict[int, None] = {}
            # The next shard is claimed and started while the last batches of this one are encoded and written.
            with overlapped(plan, choice, make, encoders=encoders) as shards, choice:
                for number, pairs in shards:
                    if _write(store, plan, number, watched(pairs, number, note, stop), claims):
                        claims.release(number)
                        note(number, len(plan.shard_range(number)))
                    else:
                        lost[number] = None
                        deque(pairs, maxlen=0)
            left = lost


class Choice:
    """Iterates over the shards to write, claiming each on demand; waits while other workers hold the rest.

    Leaving the context ends the wait.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        left: dict[int, None],
        claims: Claims,
        *,
        note: Note,
        stop: StopRequest,
        again: bool,
        say: Callable[[str], None],
    ) -> None:
        self._store, self._plan, self._left, self._claims = store, plan, left, claims
        self._note, self._stop, self._again, self._say = note, stop, again, say
        self._over = threading.Event()

    def __enter__(self) -> Choice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def __iter__(self) -> Iterator[int]:
        left, store, plan = self._left, self._store, self._plan
        unsound = _recorded(store, left)  # has a record, but the shard counts as missing
        waiting = False
        while left and not self._over.is_set():
            if self._stop.received:
                raise self._stop.stopped("between two shards; finished shards are kept")
            number = self._claims.take(left)
            if number is not None and (self._again or not is_written(store, plan, number)):
                del left[number]
                yield number
                continue
            if number is not None:
                self._claims.release(number)
            else:
                if not waiting:
                    last = "The last shard is" if len(left) == 1 else f"The last {len(left):,} shards are"
                    self._say(f"{last} claimed by other workers; waiting, to take over from any that stops.")
                waiting = True
                self._over.wait(store.pause_s)
            for one in set() if self._again else _recorded(store, left):
                if one not in unsound or is_written(store, plan, one):
                    self._note(one, len(plan.shard_range(one)))
                    del left[one]


def _write(store: Store, plan: Plan, number: int, pairs: Iterator[EncodedPair], claims: Claims) -> bool:
    """Whether the shard was written; False if another worker took over the claim and removed the temporary files."""
    try:
        with store.shard_folder(number) as folder:
            write_shard(folder, plan, number, pairs)
    except EnvironmentFault:
        if claims.is_held(number):
            raise
        claims.forget(number)
        return False
    return True


def _recorded(store: Store, numbers: Iterable[int]) -> set[int]:
    """The shards of these that have a record."""
    names = store.sizes(layout.RECORDS)
    return {number for number in numbers if f"{layout.shard_name(number)}.json" in names}


def watched(pairs: Iterator[EncodedPair], number: int, note: Note, stop: StopRequest) -> Iterator[EncodedPair]:
    """The same pairs, with progress; raises Stopped after a signal."""
    for made, pair in enumerate(pairs):
        if stop.received:
            raise stop.stopped(f"after pair {pair.index:,}; finished shards are kept")
        if made and pair.index % EVERY == 0:
            note(number, made)
        yield pair
