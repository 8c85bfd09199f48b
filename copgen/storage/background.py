"""Writes files in a thread, so that the thread that computes does not wait for encoders and disks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class BackgroundWriter:
    """Runs calls in their order in one thread, at most one of them waiting or running; use it as a context manager.

    An error of a call is raised by the next `submit`, or when the block ends, unless another one ends it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._last: Future[object] | None = None

    def submit(self, *writes: Callable[[], object]) -> None:
        """Run these calls, one after the other, after the last ones have ended."""
        self._wait()
        self._last = self._thread.submit(lambda: [write() for write in writes])

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is None:
            self._wait()
