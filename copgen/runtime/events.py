"""The progress and log events of a running stage, as a protocol; the command line renders them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Events(Protocol):
    """A listener for the progress of the current task and for messages."""

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
        """A task of `total` units of work starts, of which `done` are already finished (in a resumed run)."""

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        """`done` units are finished in total; `values` are the latest metrics to show."""

    def end(self) -> None:
        """The task has ended, successfully or not."""

    def say(self, text: str) -> None:
        """A log message."""

    def warn(self, text: str) -> None:
        """A warning, such as a fallback."""


class Silent:
    """The listener that ignores all events: the default for library use."""

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, done: int, values: Mapping[str, float]) -> None: ...

    def end(self) -> None: ...

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...
