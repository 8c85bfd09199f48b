"""The parts of an evaluation that are done, in a file that is updated after each, so that hours can be resumed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from copgen.runtime.errors import CopgenError
from copgen.runtime.events import Events
from copgen.storage.files import read_object, write_json

FILE_NAME = "finished.json"


class FinishedParts:
    """Results by name, of one evaluation.

    Args:
        folder: of the evaluation.
        decides: everything that decides a result, JSON-able; results of something else are not taken over.
        events: is told if there are some.
    """

    def __init__(self, folder: Path, decides: Mapping[str, Any], events: Events) -> None:
        self.path = folder / FILE_NAME
        self.key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        self._lock = threading.Lock()
        self._done: dict[str, Any] = {}
        try:
            there = read_object(self.path) if self.path.is_file() else {}
        except CopgenError:  # damaged
            there = {}
        if there.get("key") == self.key and isinstance(there.get("done"), dict):
            self._done = there["done"]
            events.say(f"Resuming after {len(self._done):,} finished parts, from {self.path}.")

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """The result of a part, JSON-able: from the file, or computed now. May be called by several threads."""
        with self._lock:
            if name in self._done:
                return self._done[name]
        found = json.loads(json.dumps(compute(), sort_keys=True))  # as it is read again
        with self._lock:
            self._done[name] = found
            write_json(self.path, {"key": self.key, "done": self._done})
        return found

    def forget(self) -> None:
        """Remove the file, of an evaluation that is finished."""
        self.path.unlink(missing_ok=True)
