"""What a running stage tells whoever watches it. Stages know this protocol; the command line draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Events(Protocol):
    """A listener: progress of the current task, and sentences."""

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
        """A task starts: `total` units of work, of which `done` are already there (a resumed run)."""

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        """`done` units are finished in all; `values` are the newest figures to show."""

    def end(self) -> None:
        """The task is over, well or not."""

    def say(self, text: str) -> None:
        """A sentence of narration."""

    def warn(self, text: str) -> None:
        """Something the user should know of, such as a fallback."""


class Silent:
    """The listener that says nothing: the default for library use."""

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, done: int, values: Mapping[str, float]) -> None: ...

    def end(self) -> None: ...

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...
