"""Stopping cleanly on signals: the handler sets a flag, which the stage checks between updates.

Ctrl-C leads to exit code 130; SIGTERM and SIGUSR2 (which schedulers send before they kill) to 75. A second signal acts
immediately, unless it is the first once more: a scheduler signals every process of a job, and a script passes it on.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from copgen.runtime.errors import ExitCode, Stopped

EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.STOPPED,
    signal.SIGUSR2: ExitCode.STOPPED,
}

ECHO_SECONDS = 0.3  # for so long a signal that comes again is the same one


class EndedEarly(BaseException):
    """A signal outside of a stage; a BaseException, so that `except Exception` does not catch it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.error = Stopped(f"Stopped by {number.name}.", fix="Run the same command again.", code=EXIT_CODES[number])


def _end(number: int, frame: FrameType | None) -> None:
    raise EndedEarly(signal.Signals(number))


@contextmanager
def raising_on_signals() -> Iterator[None]:
    """Inside this context a scheduler's signals raise EndedEarly, unless a stage handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class StopRequest:
    """Inside this context, the first signal sets a flag instead of acting."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
            previous = self._previous
            signal.signal(number, signal.SIG_IGN)
            time.sleep(ECHO_SECONDS)
            self._previous = previous  # another signal may have set them back before this one was ignored
        # The next one acts immediately, even while Python waits for native code.
        self._previous = {
            number: signal.SIG_DFL if handler is _end else handler for number, handler in self._previous.items()
        }
        self._restore()

    def _restore(self) -> None:
        # Setting a handler first delivers a pending signal, which calls this again.
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
        """The error that ends the stage once its state is saved; `where` is the progress reached."""
        received = self.received or signal.SIGTERM  # if another rank received it
        return Stopped(
            f"Stopped by {received.name} {where}.",
            fix="Run the same command to resume.",
            code=EXIT_CODES[received],
        )
