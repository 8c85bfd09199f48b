"""What is known of the runs of a sweep: their summaries, the evaluations below their folders, mean and spread."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from copgen.report.comparison import read_results
from copgen.report.comparison.measures import measured
from copgen.report.comparison.reading import NAME as RESULTS
from copgen.runtime.settings import flatten
from copgen.stages.sweep.grid import Planned
from copgen.stages.sweep.kinds import Kind
from copgen.storage.files import read_object
from copgen.training.run_folder import SUMMARY

ENDED = "ended_by"


def summary_of(kind: Kind, folder: Path) -> dict[str, Any] | None:
    """The summary of a run; None if it is not finished."""
    return read_object(folder / SUMMARY) if kind.folder(folder).finished else None


def evaluations_of(folder: Path) -> dict[str, float]:
    """The numbers of the `results.json` below a run, such as 'pairs: label agreement %'."""
    if not any(folder.rglob(RESULTS)):
        return {}
    found = {}
    for result in read_results([folder]):
        for measure, value in measured(result).values():
            found[f"{result.evaluation}: {measure.label}"] = 100.0 * value if measure.percent else value
    return found


def rows_of(runs: Sequence[Planned], summaries: Mapping[str, dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """A row for each combination: its values, number of finished runs, why they ended, mean and spread of numbers."""
    groups: dict[str, list[Planned]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.values, default=str), []).append(run)
    found = []
    for group in groups.values():
        done = [run for run in group if run.name in summaries]
        numbers = [{**_numbers(summaries[run.name]), **evaluations_of(out / run.name)} for run in done]
        ended = Counter(str(summaries[run.name][ENDED]) for run in done if ENDED in summaries[run.name])
        names = [name for name in numbers[0] if all(name in other for other in numbers)] if numbers else []
        found.append(
            {
                "values": json.loads(json.dumps(group[0].values, default=str)),
                "seeds": [run.seed for run in done],
                "runs": len(group),
                ENDED: dict(ended),
                "measures": {name: _spread([other[name] for other in numbers]) for name in names},
            }
        )
    return found


def _numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a summary, by dotted name."""
    flat = flatten(summary).items()
    return {
        name: float(value)
        for name, value in flat
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (of two or more), number."""
    return {"mean": mean(values), "std": stdev(values) if len(values) > 1 else None, "n": len(values)}
