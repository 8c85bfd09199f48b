"""Stopping in good order: the handler sets a flag, and the stage looks at it between two updates.

Ctrl-C leads to exit 130; SIGTERM and SIGUSR2 (what schedulers send before they kill) to 75. A second signal acts at
once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from copgen.runtime.errors import ExitCode, Stopped

EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.STOPPED,
    signal.SIGUSR2: ExitCode.STOPPED,
}


class StopRequest:
    """While this context is open, the first signal is remembered instead of acting."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        # Setting a handler lets a signal that waits act first, which comes back here.
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            signal.signal(number, handler)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def stopped(self, where: str) -> Stopped:
        """The error that ends the stage once its state is saved; `where` says what was reached."""
        received = self.received or signal.SIGTERM  # of another rank, where it was not this one's
        return Stopped(
            f"Stopped by {received.name} {where}.",
            fix="The same command goes on from there.",
            code=EXIT_CODES[received],
        )
