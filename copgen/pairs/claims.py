"""Claims: which worker makes which shard. Workers coordinate only through these files.

A claim is a file `claims/shard-000017.json` that only one worker can create. It names its process, and a heartbeat
changes its content every few seconds while that process lives. A claim is dead if its process has ended, when that ran
on this machine, or if it has not changed for the length of a lease, measured by the observer's clock, so that clocks of
two machines are never compared.

A dead claim is taken over by creating the next generation, `claims/shard-000017.1.json`: of several workers that try,
one succeeds. Lower generations stay until the shard is done, or their names could be claimed again.

A claim only avoids duplicate work; correctness does not depend on it. A worker that was merely suspended makes the same
shard as the one that took it over, byte for byte, under its own temporary name.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from copgen.pairs import layout
from copgen.pairs.store import Store
from copgen.runtime.errors import CopgenError, DataError
from copgen.storage.processes import identity, is_alive

LEASE_S = 60.0
BEAT_S = 10.0
_NAME = re.compile(r"shard-(\d{6,})(?:\.(\d+))?\.json")


class Claims:
    """The claims of one worker, as a context manager: kept alive inside the `with`, released at its end.

    Args:
        store: the store of the pairs folder.
        folder: where the claims are: those of shards, or of parts of a pool.
        lease_s: seconds without a heartbeat after which another machine's claim is dead.
        beat_s: seconds between two heartbeats of this worker's claims.
    """

    def __init__(
        self, store: Store, *, folder: str = layout.CLAIMS, lease_s: float = LEASE_S, beat_s: float = BEAT_S
    ) -> None:
        self._store, self._folder = store, folder
        self._lease_s, self._beat_s = lease_s, beat_s
        self._held: dict[int, int] = {}  # shard -> generation
        self._seen: dict[str, tuple[bytes, float]] = {}  # name -> content, and since when
        self._beats = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._heartbeat = threading.Thread(target=self._beat, name="claims", daemon=True)

    def __enter__(self) -> Claims:
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heartbeat.join()
        for number in list(self._held):
            with suppress(CopgenError):  # the claim is dead once this process has ended
                self.release(number)

    def take(self, numbers: Iterable[int]) -> int | None:
        """Claim the first of these shards that is free; None if all are claimed."""
        newest = self._newest()
        dead = {number for number, generation in newest.items() if self._is_dead(number, generation)}
        for number in numbers:
            if number in newest and number not in dead:
                continue
            generation = newest[number] + 1 if number in newest else 0
            with self._lock:
                if self._store.create(self._name(number, generation), self._content()):
                    self._held[number] = generation
                    return number
        return None

    def release(self, number: int) -> None:
        """Release a claim and those it took over; the oldest first, since an older one left alone would look dead."""
        with self._lock:
            for generation in range(self._held.pop(number) + 1):
                self._store.remove(self._name(number, generation))

    def is_held(self, number: int) -> bool:
        """Whether this worker still holds a claim that it took."""
        return self._newest().get(number) == self._held.get(number)

    def forget(self, number: int) -> None:
        """Leave a claim, and its files, to the worker that took it over."""
        with self._lock:
            del self._held[number]

    def _newest(self) -> dict[int, int]:
        """The newest generation of each shard that is claimed."""
        newest: dict[int, int] = {}
        for name in self._store.sizes(self._folder):
            if match := _NAME.fullmatch(name):
                number, generation = int(match[1]), int(match[2] or 0)
                newest[number] = max(newest.get(number, 0), generation)
        return newest

    def _is_dead(self, number: int, generation: int) -> bool:
        if self._held.get(number) == generation:
            return False
        name = self._name(number, generation)
        try:
            content = self._store.read(name)
        except DataError:  # released in the meantime; the next check finds it free
            return False
        now = time.monotonic()
        known, since = self._seen.get(name, (None, now))
        if known != content:
            self._seen[name] = (content, now)
            since = now
        return now - since > self._lease_s or _has_ended(content)

    def _name(self, number: int, generation: int) -> str:
        return layout.claim_name(number, generation, folder=self._folder)

    def _content(self) -> bytes:
        return json.dumps({**identity(), "beat": self._beats}, indent=2, sort_keys=True).encode() + b"\n"

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_s):
            self._beats += 1
            for number in list(self._held):
                with self._lock, suppress(CopgenError):  # if the write fails, another worker may take over
                    if number in self._held:
                        self._store.write(self._name(number, self._held[number]), self._content())


def _has_ended(content: bytes) -> bool:
    """Whether a claim belongs to a process of this machine that has ended; False if unknown."""
    try:
        claim = json.loads(content)
        alive = is_alive(claim)
        own = claim["process"] == os.getpid()
    except (ValueError, KeyError, TypeError, OverflowError):
        return False
    # A claim of this process that its owner does not hold was left by an earlier run in the same process.
    return alive is False or (alive is True and own)
