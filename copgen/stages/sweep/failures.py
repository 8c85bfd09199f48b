"""`failures.json`: the runs of a sweep that ended with an error, noted by whichever slice tried them last.

A file beside the runs, not in them: a run may fail before it has a folder, and every slice writes the whole table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import CopgenError
from copgen.storage.files import read_object, write_json
from copgen.storage.lock import locked

FILE = "failures.json"


def failures_of(folder: Path) -> dict[str, Any]:
    """What is noted in the folder of a sweep: {name of a run: {"what", "fix", "code"}}.

    Raises:
        DataError: the file is damaged.
    """
    return read_object(folder / FILE) if (folder / FILE).exists() else {}


def note_failure(folder: Path, name: str, error: CopgenError) -> None:
    """Note the error that ended a run of the sweep in `folder`."""
    with locked(folder, wait=True):
        failure = {"what": error.what, "fix": error.fix, "code": int(error.code)}
        write_json(folder / FILE, {**failures_of(folder), name: failure})


def forget_failure(folder: Path, name: str) -> None:
    """Forget the error of a run, which is tried again."""
    if name not in failures_of(folder):
        return
    with locked(folder, wait=True):
        write_json(folder / FILE, {other: failure for other, failure in failures_of(folder).items() if other != name})
