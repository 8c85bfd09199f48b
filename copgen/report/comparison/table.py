"""The comparison: results in rows of methods and columns of evaluations, with mean and spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from copgen.report.comparison.measures import Measure, measured
from copgen.report.comparison.method import Method, method_of
from copgen.report.comparison.paper import PaperValue, paper_value
from copgen.report.comparison.protocol import distinguished, encoder_of, key_of, label_of, protocols_of
from copgen.report.comparison.reading import Result

MOST = 3  # settings that tell rows of one name apart


@dataclass(frozen=True)
class Column:
    """A number of evaluations with the same data and protocol.

    Attributes:
        label: the evaluation and its dataset.
        apart: what tells its protocol from others with the same label; empty without others.
        measure: the number.
        protocol: everything that is recorded of it.
    """

    label: str
    apart: str
    measure: Measure
    protocol: dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """Results of one method in one column.

    Attributes:
        values: in the unit of `results.json`, in the order of the results.
        encoders: how many different encoders gave them.
        paper: the paper's number, if settings correspond.
    """

    values: tuple[float, ...]
    encoders: int
    paper: PaperValue | None

    @property
    def mean(self) -> float:
        """Of the values."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """The sample standard deviation; None of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """A method.

    Attributes:
        labels: what it is called: (name,) if names or keys were given, else method, learner, source, T_z, T_x.
        apart: the settings that tell it from other rows with the same labels.
        cells: one for each column; None without a result.
    """

    labels: tuple[str, ...]
    apart: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Columns, rows, and what has to be said of them."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def compared(results: Sequence[Result], *, by: Callable[[Result], str] | None = None) -> Comparison:
    """Group results by method and protocol, in the order in which they come.

    Args:
        results: of any evaluations. One with the encoder, seed and protocol of an earlier one is left out.
        by: the group of a result; None: results whose methods differ in seeds only are one group.
    """
    groups: dict[Any, list[tuple[Result, Method, str]]] = {}
    columns: dict[tuple[str, str], Column] = {}
    repeated = 0
    seen = set()
    for result, protocol in zip(results, protocols_of(results), strict=True):
        which = key_of(protocol), encoder_of(result), result.document.get("seed")
        if which in seen:
            repeated += 1
            continue
        seen.add(which)
        method = method_of(result)
        groups.setdefault(method.identity if by is None else by(result), []).append((result, method, which[0]))
        for key, (measure, _) in measured(result).items():
            columns.setdefault((which[0], key), Column(label_of(result), "", measure, protocol))
    rows = [
        Row(
            group[0][1].labels if by is None else (by(group[0][0]),),
            "",
            tuple(_cell(group, protocol, key) for protocol, key in columns),
        )
        for group in groups.values()
    ]
    if by is None:
        rows = _told_apart(rows, [dict(identity) for identity in groups])
    notes = [f"{repeated} results repeat an encoder and seed, and count once."] if repeated else []
    if any(cell and cell.encoders < len(cell.values) for row in rows for cell in row.cells):
        notes.append("Where one encoder has several seeds of an evaluation, the spread is not that of training alone.")
    return Comparison(labelled([*columns.values()]), tuple(rows), tuple(notes))


def _cell(group: Sequence[tuple[Result, Method, str]], protocol: str, key: str) -> Cell | None:
    there = [(one, method) for one, method, measured_by in group if measured_by == protocol and key in measured(one)]
    if not there:
        return None
    values = tuple(measured(one)[key][1] for one, _ in there)
    encoders = {encoder_of(one) for one, _ in there}
    of_paper = {paper_value(one, method, key) for one, method in there}
    return Cell(values, len(encoders), of_paper.pop() if len(of_paper) == 1 else None)


def _told_apart(rows: list[Row], identities: list[dict[str, Any]]) -> list[Row]:
    """With the settings that differ among rows of the same labels."""
    made: list[Row] = []
    for row, mine in zip(rows, identities, strict=True):
        alike = [other for one, other in zip(rows, identities, strict=True) if one.labels == row.labels]
        names = [name for name in mine if any(mine[name] != other.get(name) for other in alike)]
        words = [f"{name} {mine[name]}" for name in names[:MOST]] + ["..."] * (len(names) > MOST)
        made.append(Row(row.labels, ", ".join(words), row.cells))
    return made


def labelled(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns, with what tells columns of the same label and measure apart."""
    made = []
    for column in columns:
        alike = [other for other in columns if (other.label, other.measure) == (column.label, column.measure)]
        apart = distinguished([one.protocol for one in alike])[alike.index(column)] if len(alike) > 1 else ""
        made.append(Column(column.label, apart, column.measure, column.protocol))
    return tuple(made)
