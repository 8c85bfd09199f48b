"""`copgen compare`: results of evaluations in one table, with mean and spread over seeds, and the paper's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from copgen.report.comparison import Comparison, Result, compared, find_results, read_results
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.runtime.settings import flatten
from copgen.stages.compare.settings import CompareSettings
from copgen.storage.files import write_json

FORMAT = 1
FILE = "comparison.json"
BELOW = ("", "encoder.made_by.settings.", "encoder.made_by.pairs.", "encoder.")  # where a key is looked up


@path_errors()
def compare(
    settings: CompareSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Compare results of evaluations; returns the table as a document.

    Args:
        settings: the results, and what makes a row.
        out: the folder for `comparison.json`; None: it is not written.
        overwrite: ignored, as an existing comparison is always replaced; every stage has it.
        events: receives what has to be said of the numbers, and the folders without results, which are passed over.

    Raises:
        UsageError: a key that no result has, or another number of names than of rows.
        DataError: no results at all, a path that does not exist, or a file that is not a result.
    """
    events = events or Silent()
    files, without = find_results(settings.results)
    if without:
        events.say(f"Passed over, as there are no results in it: {', '.join(map(str, without))}.")
    results = read_results(files)
    found = table_of(results, by=settings.by, names=settings.names)
    for note in found.notes:
        events.say(note)
    document = {
        "format": FORMAT,
        "kind": "comparison",
        "results": [str(result.path) for result in results],
        "without_results": [str(folder) for folder in without],
        **_document(found),
    }
    if out is not None:
        write_json(Path(out) / FILE, document)
    return document


def table_of(results: Sequence[Result], *, by: Sequence[str] = (), names: Sequence[str] = ()) -> Comparison:
    """The comparison, with rows by keys, or with other names; errors as `compare`."""
    found = compared(results, by=_grouping(results, by) if by else None)
    return _named(found, names) if names else found


def _grouping(results: Sequence[Result], by: Sequence[str]) -> Callable[[Result], str]:
    """The name of the row of a result, from the values of keys."""
    values = {result.path: _values(result, by) for result in results}
    missing = [key for key in by if all(value.get(key) is None for value in values.values())]
    if missing:
        raise unknown("setting", missing[0], sorted({name for result in results for name in _settings(result)}))
    return lambda result: ", ".join(str(values[result.path][key]) for key in by)


def _values(result: Result, keys: Sequence[str]) -> dict[str, Any]:
    flat = flatten(result.document)
    return {key: next((flat[below + key] for below in BELOW if below + key in flat), None) for key in keys}


def _settings(result: Result) -> set[str]:
    """Keys that usually tell methods apart."""
    pairs = {name for name in flatten(result.table("encoder", "made_by", "pairs")) if not name.startswith("navigator")}
    return {*result.table("encoder", "made_by", "settings"), *pairs}


def _named(found: Comparison, names: Sequence[str]) -> Comparison:
    if len(names) != len(found.rows):
        known = "; ".join(" ".join(filter(None, (*row.labels, row.apart))) for row in found.rows)
        raise UsageError(
            f"{len(names)} names were given for {len(found.rows)} rows.", fix=f"Name all of these: {known}."
        )
    rows = [replace(row, labels=(name,), apart="") for row, name in zip(found.rows, names, strict=True)]
    return replace(found, rows=tuple(rows))


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "columns": [
            {
                "evaluation": column.label,
                "apart": column.apart,
                "measure": column.measure.key,
                "label": column.measure.label,
                "percent": column.measure.percent,
                "protocol": column.protocol,
            }
            for column in found.columns
        ],
        "rows": [
            {
                "labels": list(row.labels),
                "apart": row.apart,
                "cells": [
                    None
                    if cell is None
                    else {
                        "mean": cell.mean,
                        "std": cell.std,
                        "n": len(cell.values),
                        "encoders": cell.encoders,
                        "values": list(cell.values),
                        "paper": None if cell.paper is None else asdict(cell.paper),
                    }
                    for cell in row.cells
                ],
            }
            for row in found.rows
        ],
        "notes": list(found.notes),
    }
