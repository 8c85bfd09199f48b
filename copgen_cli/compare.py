"""`copgen compare`: results of evaluations in one table, as text, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import REPORT, SETTINGS
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import answers
from copgen_cli.tables import Table

LABELS = ("method", "learner", "images", "T_z", "T_x")
SPREAD = "Mean +- sample standard deviation (number of results)."


def words(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(filter(None, map(str.strip, text.split(","))))


Results = Annotated[
    list[Path], typer.Argument(metavar="PATH", help="Files results.json, or folders that have some below them.")
]
By = Annotated[
    str | None, o.option(help="Settings that make a row (all but seeds).", value="KEYS", panel=SETTINGS, parser=str)
]
Names = Annotated[str | None, o.option(help="Names of the rows, in order.", value="NAMES", panel=SETTINGS, parser=str)]
Form = Annotated[
    str,
    o.option(
        "--format",
        help="text, markdown or csv.",
        value="NAME",
        panel=REPORT,
        parser=o.one_of("format", "text", "markdown", "csv"),
    ),
]


@command(
    "copgen compare runs/",
    "copgen compare runs/a runs/b runs/c --by method,lr",
    "copgen compare runs/a runs/b --names ours,theirs --format markdown",
)
def compare(results: Results, report: o.Report, by: By = None, names: Names = None, format: Form = "text") -> None:
    """Compare results of evaluations in one table.

    A row has the results of one method: runs that differ in seeds only. A
    column has those of one evaluation, with the same data and protocol. The
    paper's own numbers are beside results whose settings correspond.
    """
    from copgen.stages.compare import CompareSettings
    from copgen.stages.compare import compare as stage

    settings = CompareSettings(results=tuple(results), by=words(by or ""), names=words(names or ""))
    with report.story() as story:
        found = stage(settings, events=story)
    if report.as_json or format == "text":
        report.answer(found, tables(found))
        return
    drawn = table(found)
    answers().page(markdown(drawn) if format == "markdown" else comma_separated(drawn))


def tables(found: dict[str, Any]) -> list[Table]:
    """One table, or if the terminal is too narrow for it, one for each evaluation."""
    whole, channel = table(found), answers()
    if not channel.is_terminal or whole.width <= channel.width:
        return [whole]
    parts: dict[str, list[int]] = {}
    for k, column in enumerate(found["columns"]):
        parts.setdefault(", ".join(filter(None, (column["evaluation"], column["apart"]))), []).append(k)
    return [table(found, title=title, chosen=chosen) for title, chosen in parts.items()]


def table(found: dict[str, Any], *, title: str = "", chosen: list[int] | None = None) -> Table:
    """The comparison with the columns that are needed: labels that differ, numbers, the paper's numbers.

    Args:
        found: what the stage returned.
        title: of the table; names of columns do not repeat it.
        chosen: the numbers of the columns, and only rows with a number there; None: all.
    """
    which = range(len(found["columns"])) if chosen is None else chosen
    rows = [row for row in found["rows"] if any(row["cells"][k] for k in which)]
    labels = LABELS[: len(rows[0]["labels"])]  # one, if rows have names
    kept = [k for k in range(len(labels)) if k == 0 or len(rows) == 1 or len({row["labels"][k] for row in rows}) > 1]
    same = [f"{labels[k]} {rows[0]['labels'][k]}" for k in range(len(labels)) if k not in kept and rows[0]["labels"][k]]
    columns, lines = [labels[k] for k in kept], [[row["labels"][k] for k in kept] for row in rows]
    if any(row["apart"] for row in rows):
        columns.append("settings")
        for line, row in zip(lines, rows, strict=True):
            line.append(row["apart"])
    texts, notes = len(columns), [f"In all rows: {', '.join(same)}."] * bool(same) + [SPREAD]
    for k in which:
        column, cells = found["columns"][k], [row["cells"][k] for row in rows]
        names = (column["label"],) if title else (column["evaluation"], column["apart"], column["label"])
        columns.append("\n".join(filter(None, names)))
        for line, cell in zip(lines, cells, strict=True):
            line.append(number(cell, 100 if column["percent"] else 1) if cell else "")
        if any(cell and cell["paper"] for cell in cells):
            columns.append(f"the paper\n{column['label']}")
            for line, cell in zip(lines, cells, strict=True):
                line.append(of_paper(cell["paper"]) if cell and cell["paper"] else "")
            notes += differences(cells, notes)
    return Table(title, tuple(columns), [tuple(line) for line in lines], texts=texts, notes=tuple(notes))


def number(cell: dict[str, Any], factor: float) -> str:
    """'90.22 +- 1.50 (3)'; '90.22' of a single result. A mean below 1 has three significant digits: '0.00412'."""
    mean, form = factor * cell["mean"], ".2f" if abs(factor * cell["mean"]) >= 1 or cell["mean"] == 0 else "#.3g"
    return f"{mean:{form}}" if cell["std"] is None else f"{mean:{form}} +- {factor * cell['std']:{form}} ({cell['n']})"


def of_paper(value: dict[str, Any]) -> str:
    """'98.95, table 9'."""
    spread = "" if value["std"] is None else f" +- {value['std']:.2f}"
    return f"{value['value']:.2f}{spread}, table {value['table']}"


def differences(cells: list[dict[str, Any] | None], known: list[str]) -> list[str]:
    """How the paper got its numbers in another way, once for each way."""
    papers = [cell["paper"] for cell in cells if cell and cell["paper"] and cell["paper"]["differs"]]
    told = [f"The paper's {one['value']:.2f} (table {one['table']}): {', '.join(one['differs'])}." for one in papers]
    return [text for text in dict.fromkeys(told) if text not in known]


def markdown(drawn: Table) -> str:
    """A table of GitHub, with its notes below."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"

    rule = "|" + "|".join("---" if k < drawn.texts else "---:" for k in range(len(drawn.columns))) + "|"
    return "\n".join([line(drawn.columns), rule, *map(line, drawn.rows), "", *drawn.notes])


def comma_separated(drawn: Table) -> str:
    """CSV, with a line of names."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name.replace("\n", " ") for name in drawn.columns])
    writer.writerows(drawn.rows)
    return stream.getvalue()
