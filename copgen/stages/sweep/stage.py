"""`copgen sweep`: runs of a stage over a grid of settings and seeds, one after the other or a slice of them, compared.

Every run has a folder of its own, in which the same call resumes it. `sweep.json` says what the grid is, `summary.json`
what came out. Runs depend on their settings alone, so any mix of slices gives the same folders.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from copgen.distributed.slices import ShardSlice, slice_of
from copgen.runtime.environment import job_place, placement
from copgen.runtime.errors import CopgenError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.stages.sweep.failures import concerns_all_runs, failures_of, forget_failure, note_failure
from copgen.stages.sweep.grid import Planned, planned
from copgen.stages.sweep.kinds import KINDS, Kind
from copgen.stages.sweep.record import FILE, recorded, refuse_others, write_record
from copgen.stages.sweep.results import evaluations_of, rows_of, summary_of
from copgen.stages.sweep.settings import SweepSettings
from copgen.storage.files import write_json
from copgen.storage.lock import locked, refuse_foreign
from copgen.training.run_folder import SUMMARY

__all__ = ["estimate", "sweep"]


@path_errors()
def sweep(
    settings: SweepSettings,
    *,
    out: Path | str,
    overwrite: bool = False,
    part: ShardSlice | None = None,
    events: Events | None = None,
) -> dict[str, Any]:
    """Run what is missing of a sweep, write `summary.json`, and return its content.

    A run that fails, as it diverges or does not fit into memory, is told and passed over; it is no reason to leave out
    the others. The document has it in `failed`, with what to do about it, and the same call tries it again.

    Args:
        settings: the grid, and what all runs share.
        out: the folder of the sweep; each run has one below it.
        overwrite: start from scratch.
        part: the slice of the runs that this process does; None: from the variables of a scheduler.
        events: receives the progress of each run, and messages.

    Raises:
        UsageError: an invalid setting, value or slice, or the folder holds another sweep; nothing was run.
        EnvironmentFault: a full or unwritable disk, or a folder that another process has; finished runs are kept.
        Stopped: as the stage; finished runs are kept, and the same call resumes.
    """
    kind, runs, out, events = KINDS[settings.stage], planned(settings), Path(out), events or Silent()
    part = part or slice_of(job_place())
    own = slice_of_runs(runs, part, overwrite=overwrite)
    record = checked(settings, kind, runs, out, overwrite=overwrite)
    write_record(out, record, overwrite=overwrite)
    for number, run in enumerate(own, start=1):
        if not overwrite and kind.folder(out / run.name).finished:
            continue
        events.say(f"Run {number} of {len(own)}: {run.name}.")
        forget_failure(out, run.name)
        try:
            kind.run(run.settings, out=out / run.name, overwrite=overwrite, events=events)
        except CopgenError as error:
            if concerns_all_runs(error, out / run.name):
                raise
            events.warn(f"{run.name} failed: {error}")
            note_failure(out, run.name, error)
        gc.collect()  # what a run that is out of memory leaves in cycles, the next one may need
    with locked(out, wait=True):  # the table of the slice that comes last is the whole one
        document = document_of(record, kind, runs, out)
        write_json(out / SUMMARY, document)
    _say_what_is_left_out(document, events)
    return document


def _say_what_is_left_out(document: Mapping[str, Any], events: Events) -> None:
    """Say which evaluations are in no row."""
    for path in document["stale"]:
        events.say(f"Left out: {path} is of another encoder or navigator than the one in its run.")
    for name in dict.fromkeys(name for row in document["rows"] for name in row["incomplete"]):
        events.say(f"Left out where not every seed has it: {name}.")


def checked(
    settings: SweepSettings, kind: Kind, runs: Sequence[Planned], out: Path, *, overwrite: bool
) -> dict[str, Any]:
    """The record of the sweep, whose runs can start or resume; errors as `sweep`."""
    for run in runs:
        kind.check(run.settings)
    record = recorded(settings, runs)
    if not overwrite:
        refuse_others(out, record)
        for run in runs:
            kind.folder(out / run.name).refuse_changes(run.settings)
    else:
        refuse_foreign(out, mark=FILE, holds="sweep")
    return record


def slice_of_runs(runs: Sequence[Planned], part: ShardSlice, *, overwrite: bool = False) -> list[Planned]:
    """Every n-th run from the i-th on.

    Raises:
        UsageError: ranks of torchrun, an unknown number of slices, or a slice of a sweep that starts from scratch.
    """
    if placement().world > 1:
        raise UsageError(
            f"A sweep runs in one process; torchrun has started {placement().world} ranks.",
            fix="Start it without torchrun; --slice I/N shares its runs among jobs.",
        )
    if part.count is None:
        raise UsageError("The scheduler does not say how many jobs share the sweep.", fix="Pass --slice I/N.")
    if part.count > 1 and overwrite:
        raise UsageError("--overwrite cannot be used with a slice of a sweep.", fix="Remove the folder first.")
    return list(runs[part.index :: part.count])


def document_of(record: dict[str, Any], kind: Kind, runs: Sequence[Planned], out: Path) -> dict[str, Any]:
    """What is known of all runs; those of other slices, too."""
    failures = failures_of(out)
    found = {run.name: summary for run in runs if (summary := summary_of(kind, out / run.name)) is not None}
    evaluations = evaluations_of({name: out / name for name in found})
    return {
        **record,
        "runs": [
            {"name": run.name, "values": _plain(run.values), "seed": run.seed, "summary": found.get(run.name)}
            for run in runs
        ],
        "rows": rows_of(runs, found, evaluations.numbers),
        "stale": [str(path.relative_to(out)) for path in evaluations.stale],
        "missing": [run.name for run in runs if run.name not in found],
        "failed": [
            {"name": run.name, **failures[run.name]} for run in runs if run.name not in found and run.name in failures
        ],
    }


def estimate(
    settings: SweepSettings,
    *,
    out: Path | str,
    overwrite: bool = False,
    part: ShardSlice | None = None,
    events: Events | None = None,
) -> dict[str, Any]:
    """What `sweep` would do: all runs, which of them are missing, and the time, memory and disk that these take.

    Runs that differ in what costs nothing, such as rates and seeds, are tried once. Errors as `sweep`.
    """
    kind, runs, out, events = KINDS[settings.stage], planned(settings), Path(out), events or Silent()
    own = slice_of_runs(runs, part or slice_of(job_place()), overwrite=overwrite)
    checked(settings, kind, runs, out, overwrite=overwrite)
    missing = [run for run in own if overwrite or not kind.folder(out / run.name).finished]
    costs: dict[str, dict[str, float]] = {}
    for number, run in enumerate(missing, start=1):
        if (key := _cost_key(kind, run)) not in costs:
            events.say(f"Trying run {number} of {len(missing)}: {run.name}.")
            costs[key] = kind.estimate(run.settings)
    each = [costs[_cost_key(kind, run)] for run in missing]
    return {
        "runs": [run.name for run in runs],
        "own": [run.name for run in own],
        "missing": [run.name for run in missing],
        "seconds": sum(_of(each, "seconds")),
        "memory_bytes": max(_of(each, "memory_bytes"), default=0),
        "disk_bytes": sum(_of(each, "disk_bytes")),
    }


def _of(costs: Iterable[dict[str, float]], name: str) -> list[float]:
    return [cost[name] for cost in costs]


def _cost_key(kind: Kind, run: Planned) -> str:
    """Equal for runs of equal cost."""
    tree = {name: value for name, value in run.settings.tree().items() if name not in kind.free_of_charge}
    return json.dumps(tree, sort_keys=True)


def _plain(values: Any) -> Any:
    return json.loads(json.dumps(values, default=str))
