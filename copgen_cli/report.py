"""`copgen report`: runs and results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.wording import number_of

Runs = Annotated[list[Path], typer.Argument(metavar="PATH", help="Run folders, results, or folders of them.")]
Out = Annotated[Path, o.out("FOLDER", "Folder of the page.")]


@command(
    "copgen report runs/navigate",
    "copgen report runs/navigate runs/steering runs/pretrain --out report",
    "copgen report runs/",
)
def report(runs: Runs, report: o.Report, out: Out = Path("runs/report")) -> None:
    """Write a page about runs: pictures, curves and tables.

    Anchors and positives over the training, losses, distances, stop rules and
    displacement of navigators; loss and probes of encoders; tables of results
    with the paper's numbers beside. One file that needs no network. Runs may be
    unfinished.
    """
    from copgen.stages.report import ReportSettings, write_report

    with report.story() as story:
        found = write_report(ReportSettings(runs=tuple(runs)), out=out, events=story)
    report.answer(found, rows(out, found))


def rows(out: Path, found: dict[str, Any]) -> list[Row]:
    """What was written, in rows."""
    shown = f"{number_of(len(found['runs']), 'run')}, {number_of(len(found['results']), 'result')}"
    return [
        ("report", f"{found['report']}, {size(found['bytes'])}"),
        ("shows", shown),
        ("pictures", f"{len(found['pictures']):,} in {out}"),
    ]
