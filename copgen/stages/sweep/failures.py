"""`failures.json`: the runs of a sweep that ended with an error, noted by whichever slice tried them last.

A file beside the runs, not in them: a run may fail before it has a folder, and every slice writes the whole table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import CopgenError, EnvironmentFault, Stopped
from copgen.storage.files import read_object, write_json
from copgen.storage.lock import LOCK, locked

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


def concerns_all_runs(error: CopgenError, folder: Path) -> bool:
    """Whether the error of a run ends the sweep: a signal, a fault of the disk, or another process that has its folder.

    Others, such as a batch that does not fit into memory, are of the values of the run, and the next one may do.

    Args:
        error: of a run that has ended.
        folder: of the run, whose own lock is released.
    """
    if isinstance(error, Stopped):
        return True
    return isinstance(error, EnvironmentFault) and (isinstance(error.__cause__, OSError) or (folder / LOCK).exists())
