"""`--watch`: the page of a run, served on this machine meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from copgen.runtime.errors import UsageError
from copgen.runtime.panels import REPORT
from copgen_cli import options as o
from copgen_cli.story import Story

Watch = Annotated[bool, o.option("--watch", help="Serve the run's page on 127.0.0.1 meanwhile.", panel=REPORT)]
Port = Annotated[
    int | None, o.option("--port", help="Port of --watch (any free one).", value="N", panel=REPORT, parser=o.whole)
]


def wanted(watch: bool, port: int | None) -> int | None:
    """The port to serve on, 0 for any; None if nothing is to be served.

    Raises:
        UsageError: a port without --watch.
    """
    if port is not None and not watch:
        raise UsageError("--port is that of --watch, which was not given.", fix="Add --watch, or remove --port.")
    return (port or 0) if watch else None


@contextmanager
def watched(folder: Path, story: Story, *, port: int | None) -> Iterator[None]:
    """Serve the page of the run folder inside this context and tell where; port None: do nothing.

    Raises:
        UsageError, EnvironmentFault: as `copgen.report.watching.Watch`.
    """
    if port is None:
        yield
        return
    from copgen.report.watching import Watch

    with Watch(folder, port=port) as watch:
        story.say(f"Watch the run at {watch.url}")
        yield
