"""Stopping in good order: the handler sets a flag, and the stage looks at it between two updates.

Ctrl-C leads to exit 130; SIGTERM and SIGUSR2 (what schedulers send before they kill) to 75. A second signal acts at
once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from copgen.runtime.errors import ExitCode, Stopped

EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.STOPPED,
    signal.SIGUSR2: ExitCode.STOPPED,
}


class EndedEarly(BaseException):
    """A signal that came where no stage was at work; it is no Exception, so that nothing takes it for an error."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.error = Stopped(f"Stopped by {number.name}.", fix="Give the same command again.", code=EXIT_CODES[number])


def _end(number: int, frame: FrameType | None) -> None:
    raise EndedEarly(signal.Signals(number))


@contextmanager
def ending_in_good_order() -> Iterator[None]:
    """A scheduler's signals raise EndedEarly while this is open, where no stage has taken them over."""
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
    """While this context is open, the first signal is remembered instead of acting."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        # The next one acts at once, also where Python is waiting for something that is not Python.
        self._previous = {
            number: signal.SIG_DFL if handler is _end else handler for number, handler in self._previous.items()
        }
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
