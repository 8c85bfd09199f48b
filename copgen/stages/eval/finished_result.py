"""A finished evaluation that is run again: its result is returned, if everything that decides it is the same.

`results.json` holds the key of what decided it. Results of earlier versions have none, and are computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError
from copgen.runtime.events import Events
from copgen.storage.files import read_object

KEY = "key"


def key_of(decides: Mapping[str, Any]) -> str:
    """A hash of everything that decides a result, JSON-able."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def finished_result(file: Path, key: str, *, overwrite: bool, events: Events) -> dict[str, Any] | None:
    """The content of a `results.json` of this key; None if there is none, it is damaged, or to be replaced.

    Args:
        file: the results.
        key: a hash of everything that decides them.
        overwrite: they are to be computed again.
        events: is told that they were read.
    """
    if overwrite or not file.is_file():
        return None
    try:
        there = read_object(file)
    except DataError:
        return None
    if there.get(KEY) != key:
        return None
    events.say(f"The evaluation is finished: {file} is read. Pass --overwrite to evaluate again.")
    return there
