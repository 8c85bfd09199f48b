"""A listener for tests: it keeps what a stage tells."""

from __future__ import annotations

from collections.abc import Mapping


class Kept:
    """Events that are remembered."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.begun: list[tuple[str, int, str, int]] = []
        self.progress: list[int] = []
        self.ended = 0

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
        self.begun.append((title, total, unit, done))

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        self.progress.append(done)

    def end(self) -> None:
        self.ended += 1

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)
