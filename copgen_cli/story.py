"""Progress and messages on stderr: a progress bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from copgen.runtime.printable import command_line
from copgen_cli.console import Channel, stories
from copgen_cli.wording import duration, figures, pace

SHARE, SECONDS, AT_LEAST = 0.1, 10.0, 1.0  # between two lines: share of the work, and most and fewest seconds


class Drawing(Protocol):
    """The progress of one task."""

    def show(self, done: int, figures: str, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Lines:
    """A line per tenth of the work, at least every ten seconds and at most every second."""

    def __init__(self, channel: Channel, *, title: str, total: int, unit: str, done: int) -> None:
        self._channel = channel
        self._title, self._total, self._unit, self._first = title, total, unit, done
        self._started = self._said = time.monotonic()
        self._shown = done

    def show(self, done: int, figures: str, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        quiet_for, progress = now - self._said, (done - self._shown) / self._total
        finished = done >= self._total and self._shown < self._total
        if finished or (quiet_for >= AT_LEAST and progress >= SHARE) or quiet_for >= SECONDS:
            self._said, self._shown = now, done
            self._channel.tell(self._line(done, now - self._started, figures))

    def _line(self, done: int, elapsed: float, figures: str) -> str:
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self._title} {100 * done / self._total:3.0f} %", f"{done:,} of {self._total:,} {self._unit}"]
        if rate > 0:
            parts.append(pace(rate))
            if done < self._total:
                parts.append(f"{duration((self._total - done) / rate)} left")
        return "  ".join([*parts, figures]).rstrip()

    def close(self) -> None:
        pass


class Story:
    """The `Events` of a stage, printed on stderr; a context, so that no bar outlives its command."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, delta: float | None = None) -> None:
        self._channel = stories()
        self._channel.quiet = quiet
        self._verbose = verbose
        self.delta = delta
        self._drawing: Drawing | None = None

    def __enter__(self) -> Story:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
        self.end()
        if self._channel.quiet:
            return
        if self._channel.animated:
            from copgen_cli.progress import Bar

            self._drawing = Bar(self._channel, title=title, total=total, unit=unit, done=done, delta=self.delta)
        else:
            self._drawing = Lines(self._channel, title=title, total=total, unit=unit, done=done)

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        if self._drawing is not None:
            self._drawing.show(done, figures(values, delta=self.delta, verbose=self._verbose), values)

    def end(self) -> None:
        if self._drawing is not None:
            self._drawing.close()
            self._drawing = None

    def say(self, text: str) -> None:
        self._channel.tell(text)

    def warn(self, text: str) -> None:
        self._channel.tell(("Warning: ", "bold yellow"), text)

    def explain(self, text: str) -> None:
        """A message for --verbose."""
        if self._verbose:
            self._channel.page(text)

    def next(self, *words: str) -> None:
        """Print the next command."""
        self._channel.tell(("Next: ", "bold green"), command_line(*words))
