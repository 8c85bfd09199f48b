"""`copgen report`: runs and results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import UsageError
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.watching import Port, Watch, wanted
from copgen_cli.wording import number_of

DEFAULT_OUT = Path("runs/report")
Runs = Annotated[list[Path], typer.Argument(metavar="PATH", help="Run folders, results, or folders of them.")]
Out = Annotated[Path | None, o.out("FOLDER", "Folder of the page (runs/report).")]


@command(
    "copgen report runs/navigate",
    "copgen report runs/navigate runs/steering runs/pretrain --out report",
    "copgen report runs/",
    "copgen report --watch runs/navigate",
)
def report(runs: Runs, report: o.Report, watch: Watch = False, port: Port = None, out: Out = None) -> None:
    """Write a page about runs: pictures, curves and tables.

    Anchors and positives over the training, losses, distances, stop rules and
    displacement of navigators; loss and probes of encoders; tables of results
    with the paper's numbers beside. One file that needs no network. Runs may be
    unfinished; with --watch, the page of one is served until it ends.
    """
    served = wanted(watch, port)
    if served is not None:
        if len(runs) != 1 or out is not None:
            raise UsageError(
                "--watch serves the page of one run and writes nothing.", fix="Pass one run, and no --out."
            )

        from copgen.stages.report.watching import watch_run

        with report.story() as story:
            ended = watch_run(runs[0], port=served, events=story)
        state = "finished" if ended["finished"] else "stopped before its end"
        report.answer(ended, [("run", f"{ended['run']}, {state}")], "copgen", "report", ended["run"])
        return

    from copgen.stages.report import ReportSettings, write_report

    folder = out or DEFAULT_OUT
    with report.story() as story:
        found = write_report(ReportSettings(runs=tuple(runs)), out=folder, events=story)
    report.answer(found, rows(folder, found))


def rows(out: Path, found: dict[str, Any]) -> list[Row]:
    """What was written, in rows."""
    shown = f"{number_of(len(found['runs']), 'run')}, {number_of(len(found['results']), 'result')}"
    return [
        ("report", f"{found['report']}, {size(found['bytes'])}"),
        ("shows", shown),
        ("pictures", f"{len(found['pictures']):,} in {out}"),
    ]
