"""Between two pairs of a stage: report progress, and stop after a signal."""

from __future__ import annotations

from collections.abc import Callable

from copgen.runtime.events import Events
from copgen.runtime.signals import StopRequest

EVERY = 100  # pairs between two progress events


def watcher(events: Events, stop: StopRequest, *, shift: int = 0) -> Callable[[int], None]:
    """A function to call with the index of each pair before it is processed; raises Stopped after a signal.

    Args:
        events: receives progress.
        stop: is checked before each pair.
        shift: index + shift is the number of finished pairs, for a range that does not start at 0.
    """

    def watch(index: int) -> None:
        if stop.received:
            raise stop.stopped(f"before pair {index:,}; finished shards are kept")
        if index % EVERY == 0:
            events.advance(index + shift, {})

    return watch
