"""Results of evaluations as tables: one for each evaluation, ours and the paper's side by side."""

from __future__ import annotations

from collections.abc import Sequence

from copgen.report.comparison import Cell, Comparison, Result, compared
from copgen.report.page.html import code, escaped, missing, table, tag
from copgen.runtime.errors import DataError

NAMES = ("method", "learner", "images", "T_z", "T_x")


def results_html(results: Sequence[Result]) -> str:
    """The tables, or how to get them."""
    if not results:
        return missing(
            "There are no results of evaluations in these folders.",
            f"Run {code('copgen eval linear')} or another {code('copgen eval')}, and write the report again.",
        )
    try:
        found = compared(results)
    except DataError as error:
        return missing(escaped(error.what), escaped(error.fix))
    titles = dict.fromkeys((column.label, column.apart) for column in found.columns)
    parts = "".join(_table(found, label, apart) for label, apart in titles)
    notes = ["Mean \u00b1 sample standard deviation (number of results).", *found.notes]
    return parts + "".join(tag("p", escaped(note), class_="note") for note in notes)


def _table(found: Comparison, label: str, apart: str) -> str:
    which = [k for k, column in enumerate(found.columns) if (column.label, column.apart) == (label, apart)]
    rows = [row for row in found.rows if any(row.cells[k] for k in which)]
    names = NAMES[: len(rows[0].labels)]
    head, lines = [escaped(name) for name in names], [[escaped(one) for one in row.labels] for row in rows]
    texts = len(names)
    if any(row.apart for row in rows):
        texts += 1
        head.append("settings")
        for line, row in zip(lines, rows, strict=True):
            line.append(escaped(row.apart))
    differences: list[str] = []
    for k in which:
        measure = found.columns[k].measure
        cells = [row.cells[k] for row in rows]
        head.append(escaped(measure.label))
        for line, cell in zip(lines, cells, strict=True):
            line.append(number(cell, 100.0 if measure.percent else 1.0) if cell else "\u2013")
        if any(cell and cell.paper for cell in cells):
            head.append(f"{escaped(measure.label)}<small>the paper</small>")
            for line, cell in zip(lines, cells, strict=True):
                line.append(_of_paper(cell))
            differences += _differences(cells)
    title = tag("h4", escaped(", ".join(filter(None, (label, apart)))))
    notes = "".join(tag("p", escaped(text), class_="note") for text in dict.fromkeys(differences))
    return title + table(head, lines, texts=texts) + notes


def number(cell: Cell, factor: float) -> str:
    """'90.22 \u00b1 1.50 (3)'; '90.22' of a single result."""
    form = ".2f" if abs(factor * cell.mean) >= 1 or cell.mean == 0 else "#.3g"
    if cell.std is None:
        return f"{factor * cell.mean:{form}}"
    return f"{factor * cell.mean:{form}} \u00b1 {factor * cell.std:{form}} ({len(cell.values)})"


def _of_paper(cell: Cell | None) -> str:
    if cell is None or cell.paper is None:
        return "\u2013"
    spread = "" if cell.paper.std is None else f" \u00b1 {cell.paper.std:.2f}"
    return f"<em>{cell.paper.value:.2f}{spread}</em>"


def _differences(cells: Sequence[Cell | None]) -> list[str]:
    papers = [cell.paper for cell in cells if cell and cell.paper]
    return [
        f"The paper's {one.value:.2f} is from table {one.table}"
        + (f"; it differs in: {', '.join(one.differs)}." if one.differs else ".")
        for one in papers
    ]
