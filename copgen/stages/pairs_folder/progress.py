"""What a stage does between two pairs: tell how far it is, and stop where a signal asked for it."""

from __future__ import annotations

from collections.abc import Callable

from copgen.runtime.events import Events
from copgen.runtime.signals import StopRequest

EVERY = 100  # pairs between two reports


def watcher(events: Events, stop: StopRequest, *, shift: int = 0) -> Callable[[int], None]:
    """A function to call with the index of each pair before it is worked on; raises Stopped after a signal.

    Args:
        events: is told of progress.
        stop: is looked at before each pair.
        shift: added to an index it gives the number of pairs that are done, where they are not done in order.
    """

    def watch(index: int) -> None:
        if stop.received:
            raise stop.stopped(f"before pair {index:,}; finished shards stay")
        if index % EVERY == 0:
            events.advance(index + shift, {})

    return watch
