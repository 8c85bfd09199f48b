"""Hash the shards of a folder in a thread, while they are already being read; a difference is raised at `check`.

Sizes and structure are checked before (`problems(folder, "quick")`), so a start does not wait for the hashes of
hundreds of gigabytes, and nothing that was modified stays unnoticed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from copgen.pairs.plan import Contents
from copgen.pairs.verification import byte_problems
from copgen.runtime.errors import DataError


class BackgroundHashes:
    """The hashes of these shards, each computed once.

    Args:
        folder: the pairs folder.
        plan: its plan.
        numbers: of the shards.
    """

    def __init__(self, folder: Path, plan: Contents, numbers: Sequence[int]) -> None:
        self._folder, self._plan, self._numbers = folder, plan, numbers
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._found: DataError | None = None
        self.done = 0

    def __reduce__(self) -> tuple[type[BackgroundHashes], tuple[Path, Contents, Sequence[int]]]:
        """Without the thread, for worker processes."""
        return BackgroundHashes, (self._folder, self._plan, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def check(self) -> None:
        """Start the thread if it does not run yet, and raise what it has found.

        Raises:
            DataError: a shard differs from its record; the error names the file.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hash shards", daemon=True)
            self._thread.start()
        if self._found is not None:
            raise self._found

    def wait(self) -> None:
        """Wait for the last hash. Errors as `check`."""
        self.check()
        if self._thread is not None:
            self._thread.join()
        self.check()

    def close(self) -> None:
        """End the thread after the shard that it reads."""
        self._stop.set()

    def _run(self) -> None:
        for number in self._numbers:
            if self._stop.is_set():
                return
            if found := byte_problems(self._folder, self._plan, number):
                self._found = found[0].error
                self._found.of_one_rank = True  # each rank hashes its own share
                return
            self.done += 1
