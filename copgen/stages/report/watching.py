"""`copgen report --watch`: serve the page of a run that another process is writing, until it ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from copgen.report.page.record import read_record
from copgen.report.watching import Watch
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.runtime.printable import command_line
from copgen.storage.lock import is_held

POLL_S = 0.5


@path_errors()
def watch_run(folder: Path, *, port: int = 0, events: Events | None = None) -> dict[str, Any]:
    """Serve the page on 127.0.0.1 until no process writes the run any more.

    Args:
        folder: the run.
        port: 0: any free one.
        events: is told the URL.

    Raises:
        DataError: there is no run.
        UsageError: no process of this machine is writing it, or that cannot be known here; no such port.
        EnvironmentFault: the port is taken.
    """
    record = read_record(folder)
    if record.running is None:
        raise UsageError(
            f"The run {folder} was begun on another machine or in another container, and cannot be followed from here.",
            fix=f"Watch it there, or write its page: {command_line('copgen', 'report', str(folder))}.",
        )
    if not record.running:
        raise UsageError(
            f"No process of this machine is writing the run {folder}.",
            fix=f"Resume it with its own command, or write its page: {command_line('copgen', 'report', str(folder))}.",
        )
    with Watch(folder, port=port) as watch:
        (events or Silent()).say(f"Watch the run at {watch.url}")
        while is_held(folder):
            time.sleep(POLL_S)
    return {"run": str(folder), "finished": read_record(folder).finished}
