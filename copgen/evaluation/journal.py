"""Finished parts of a long evaluation in a JSON file, so that it resumes after a kill with the parts that are left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError
from copgen.runtime.events import Events
from copgen.storage.files import read_object, write_json

SECONDS = 20.0  # between two writes: a kill loses no more than that and the part in progress


@dataclass
class Journal:
    """The parts by name.

    Attributes:
        path: the file; one that is damaged, or of another key, is replaced.
        key: a hash of everything that determines the parts.
        events: is told how many parts were read.
    """

    path: Path
    key: str
    events: Events
    parts: dict[str, Any] = field(default_factory=dict, init=False)
    last: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        try:
            there = read_object(self.path) if self.path.exists() else {}
        except DataError:
            there = {}
        if there.get("key") == self.key and isinstance(there.get("parts"), dict) and there["parts"]:
            self.parts = there["parts"]
            self.events.say(f"Resuming: {len(self.parts)} fits are read from {self.path}.")

    def part(self, name: str, make: Callable[[], Any]) -> Any:
        """The part of a name, as JSON gives it back; made if it is not there."""
        if name not in self.parts:
            self.parts[name] = json.loads(json.dumps(make()))
            if time.monotonic() - self.last >= SECONDS:
                write_json(self.path, {"key": self.key, "parts": self.parts})
                self.last = time.monotonic()
        return self.parts[name]

    def below(self, name: str) -> Callable[[str, Callable[[], Any]], Any]:
        """`part`, with the parts below a name."""
        return lambda part, make: self.part(f"{name}, {part}", make)

    def remove(self) -> None:
        """Of a finished evaluation."""
        self.path.unlink(missing_ok=True)
