"""`sweep.json`: what a sweep consists of, so that the same command resumes it and another one is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copgen.runtime.errors import UsageError
from copgen.runtime.settings import flatten
from copgen.stages.sweep.grid import Planned, axes, base
from copgen.stages.sweep.settings import SweepSettings
from copgen.storage.files import read_object, write_json
from copgen.storage.lock import locked, refuse_foreign

FILE = "sweep.json"
FORMAT = 1


def recorded(sweep: SweepSettings, runs: Sequence[Planned]) -> dict[str, Any]:
    """The record of a sweep."""
    return {
        "format": FORMAT,
        "kind": "sweep",
        "stage": sweep.stage,
        "settings": base(sweep),
        "names": sorted(axes(sweep)[0]),
        "runs": [run.name for run in runs],
    }


def refuse_others(folder: Path, record: dict[str, Any]) -> None:
    """Refuse a folder that holds something else; an existing sweep may lack values or seeds of this one.

    Raises:
        UsageError: it holds a sweep of another stage, with other settings, or with runs beyond these.
        EnvironmentFault: it holds no sweep.
    """
    refuse_foreign(folder, mark=FILE, holds="sweep")
    if not (folder / FILE).exists():
        return
    before = read_object(folder / FILE)
    here, there = _compared(before), _compared(record)
    changes = [
        f"{name}: {here.get(name, 'unset')} -> {there.get(name, 'unset')}"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]
    if changes:
        raise UsageError(
            f"{folder} holds a sweep with other settings ({'; '.join(changes)}).",
            fix="Pass the same settings to resume, --overwrite to start from scratch, or another --out.",
        )
    runs = before.get("runs")
    if lost := sorted(set(runs if isinstance(runs, list) else []) - set(record["runs"])):
        raise UsageError(
            f"{folder} holds a sweep that also has the run {lost[0]}.",
            fix="Pass all of its values and seeds; more of them are added. Or choose another --out.",
        )


def write_record(folder: Path, record: dict[str, Any], *, overwrite: bool) -> None:
    """Write `sweep.json` unless it is there with this content, which other slices may do at the same time.

    Args:
        folder: of the sweep; created if missing.
        record: of the sweep.
        overwrite: replace another sweep's.

    Raises:
        UsageError, EnvironmentFault: as `refuse_others`; a slice of another sweep may have come first.
    """
    with locked(folder, wait=True):
        if not overwrite:
            refuse_others(folder, record)
        if overwrite or not (folder / FILE).exists() or read_object(folder / FILE) != record:
            write_json(folder / FILE, record)


def _compared(record: dict[str, Any]) -> dict[str, Any]:
    """What must be the same, as dotted names."""
    settings = record.get("settings")
    found = {"stage": record.get("stage"), "swept": json.dumps(record.get("names"))}
    return {**flatten(settings if isinstance(settings, dict) else {}), **found}
