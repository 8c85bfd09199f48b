"""What is known of the runs of a sweep: their summaries, the evaluations below their folders, mean and spread."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from copgen.encoders.encoder import FILE_NAME as ENCODER
from copgen.latents.navigator import FILE_NAME as NAVIGATOR
from copgen.report.comparison import Column, Result, compared, labelled, read_results
from copgen.report.comparison.measures import Measure
from copgen.report.comparison.protocol import key_of
from copgen.report.comparison.reading import NAME as RESULTS
from copgen.runtime.settings import flatten
from copgen.stages.sweep.grid import Planned
from copgen.stages.sweep.kinds import Kind
from copgen.storage.files import read_object, sha256_of
from copgen.training.run_folder import SUMMARY

ENDED = "ended_by"


def summary_of(kind: Kind, folder: Path) -> dict[str, Any] | None:
    """The summary of a run; None if it is not finished."""
    return read_object(folder / SUMMARY) if kind.folder(folder).finished else None


@dataclass(frozen=True)
class Evaluations:
    """What `results.json` below the runs say.

    Attributes:
        numbers: for each run with results its numbers, such as 'linear (lbfgs), digits: Top-1 %'; the mean over the
            seeds of an evaluation. Other data, and another protocol, are another name.
        stale: results that are left out, as they are of another encoder or navigator than the one in their folder.
    """

    numbers: Mapping[str, Mapping[str, float]]
    stale: tuple[Path, ...]


def evaluations_of(folders: Mapping[str, Path]) -> Evaluations:
    """The evaluations below the folders of runs, by the name of the run.

    Raises:
        DataError: a `results.json` that `copgen eval` did not write.
    """
    columns: dict[tuple[str, Measure], Column] = {}
    numbers: dict[str, dict[tuple[str, Measure], float]] = {}
    stale: list[Path] = []
    for name, folder in folders.items():
        results = read_results([folder]) if any(folder.rglob(RESULTS)) else []
        old = [result.path for result in results if _is_stale(result, folder)]
        stale += old
        found = compared([result for result in results if result.path not in old], by=lambda result: "the run")
        for row in found.rows:
            for column, cell in zip(found.columns, row.cells, strict=True):
                assert cell is not None  # all results are in the one row
                key = key_of(column.protocol), column.measure
                columns.setdefault(key, column)
                numbers.setdefault(name, {})[key] = 100.0 * cell.mean if column.measure.percent else cell.mean
    titles = {key: _title(column) for key, column in zip(columns, labelled([*columns.values()]), strict=True)}
    return Evaluations(
        {name: {titles[key]: value for key, value in found.items()} for name, found in numbers.items()}, tuple(stale)
    )


def _title(column: Column) -> str:
    return f"{', '.join(filter(None, (column.label, column.apart)))}: {column.measure.label}"


def _is_stale(result: Result, folder: Path) -> bool:
    """Whether a result is of another encoder or navigator than that of its folder, such as one that was there before.

    Without such a file between the result and the folder of its run, it is not.
    """
    within = [parent for parent in result.path.parents if parent == folder or folder in parent.parents]
    measured = {ENCODER: result.table("encoder").get("sha256"), NAVIGATOR: _navigator_of(result)}
    for file, digest in measured.items():
        nearest = next((parent / file for parent in within if (parent / file).is_file()), None)
        if nearest is not None and digest is not None and digest != sha256_of(nearest):
            return True
    return False


def _navigator_of(result: Result) -> Any:
    """The hash of the navigator of generated images: in the transform of `eval pairs`, by its name in others."""
    transform = result.table("provenance", "transform")
    return (
        transform.get("sha256") if transform.get("name") == "optimal" else result.table("provenance").get("navigator")
    )


def rows_of(
    runs: Sequence[Planned],
    summaries: Mapping[str, dict[str, Any]],
    evaluations: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    """A row for each combination: its values, number of finished runs, why they ended, mean and spread of numbers.

    Args:
        runs: all of the sweep.
        summaries: of the finished ones, by name.
        evaluations: numbers of them by name, as in `Evaluations`.
    """
    groups: dict[str, list[Planned]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.values, default=str), []).append(run)
    found = []
    for group in groups.values():
        done = [run for run in group if run.name in summaries]
        numbers = [{**_numbers(summaries[run.name]), **evaluations.get(run.name, {})} for run in done]
        ended = Counter(str(summaries[run.name][ENDED]) for run in done if ENDED in summaries[run.name])
        every = dict.fromkeys(name for one in numbers for name in one)
        names = [name for name in every if all(name in one for one in numbers)]
        found.append(
            {
                "values": json.loads(json.dumps(group[0].values, default=str)),
                "seeds": [run.seed for run in done],
                "runs": len(group),
                ENDED: dict(ended),
                "measures": {name: _spread([one[name] for one in numbers]) for name in names},
                "incomplete": [name for name in every if name not in names and ": " in name],
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
