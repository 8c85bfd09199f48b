"""One worker of `sample`: claims a shard that is missing, makes it, and goes on until every shard is there.

Workers know of each other through the folder alone (`copgen.pairs.claims`), so they may start and end at any time, on
any machine. Each stays until all shards have their records: it takes over what a dead one leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from copgen.pairs import Pair, Plan, layout, write_shard
from copgen.pairs.claims import LEASE_S, Claims
from copgen.pairs.manifest import is_written
from copgen.pairs.store import Store
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.events import Events
from copgen.runtime.signals import StopRequest

Note = Callable[[int, int], None]  # (shard, how many of its pairs are made)
EVERY = 100  # pairs between two notes


class Tally:
    """How many pairs are made, by whichever workers; tells a listener.

    Args:
        pairs: that are there already.
        events: is told of every change.
    """

    def __init__(self, pairs: int, events: Events) -> None:
        self.pairs = pairs
        self._of_shard: dict[int, int] = {}
        self._events = events

    def note(self, number: int, pairs: int) -> None:
        """Shard `number` has so many pairs now."""
        self.pairs += pairs - self._of_shard.get(number, 0)
        self._of_shard[number] = pairs
        self._events.advance(self.pairs, {})


def make_shards(
    store: Store,
    plan: Plan,
    numbers: Iterable[int],
    make: Callable[[int], Iterator[Pair]],
    *,
    note: Note,
    stop: StopRequest,
    again: bool = False,
    say: Callable[[str], None] = lambda text: None,
    lease_s: float = LEASE_S,
) -> None:
    """Make these shards, beside other workers that do the same; returns when all are there, from whomever.

    Args:
        store: of the pairs folder, which holds the plan.
        plan: what it is to hold.
        numbers: the shards that are missing, in the order in which this worker tries them.
        make: the pairs of a shard, in order.
        note: is told how far each shard is.
        stop: is looked at between two pairs.
        again: make those, too, that another worker has made in the meantime.
        say: is told when only other workers' shards are left.
        lease_s: seconds after which another machine's claim is dead when it shows no life.

    Raises:
        Stopped: a signal came; finished shards stay.
        EnvironmentFault: the disk is full or the store cannot be reached.
    """
    left = dict.fromkeys(numbers)
    unsound = _recorded(store, left)  # a record that is there, and yet the shard counts as missing
    waiting = False
    with Claims(store, lease_s=lease_s) as claims:
        while left:
            if stop.received:
                raise stop.stopped("between two shards; finished shards stay")
            number = claims.take(left)
            if number is not None and (again or not is_written(store, plan, number)):
                if not _write(store, plan, number, watched(make(number), number, note, stop), claims):
                    continue
                made = {number}
            else:
                if number is None and not waiting:
                    waiting = True
                    say(f"The last {len(left):,} shards are with other workers; waiting, to take over what they leave.")
                if number is None:
                    time.sleep(store.pause_s)
                found = set() if again else _recorded(store, left)
                made = {one for one in found if one not in unsound or is_written(store, plan, one)}
            if number is not None:
                claims.release(number)
            for one in made:
                note(one, len(plan.shard_range(one)))
                del left[one]


def _write(store: Store, plan: Plan, number: int, pairs: Iterator[Pair], claims: Claims) -> bool:
    """Whether the shard was written; not where another worker took the claim over, and the temporary files away."""
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
    """Those of these shards that have a record."""
    names = store.sizes(layout.RECORDS)
    return {number for number in numbers if f"{layout.shard_name(number)}.json" in names}


def watched(pairs: Iterator[Pair], number: int, note: Note, stop: StopRequest) -> Iterator[Pair]:
    """The same pairs, with progress, and with the end that a signal asks for."""
    for made, pair in enumerate(pairs):
        if stop.received:
            raise stop.stopped(f"after pair {pair.index:,}; finished shards stay")
        if made and pair.index % EVERY == 0:
            note(number, made)
        yield pair
