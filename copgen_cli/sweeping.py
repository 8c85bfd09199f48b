"""How `copgen sweep`, and `copgen navigate --seeds`, run a sweep and show what came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from copgen.runtime.panels import SETTINGS
from copgen.runtime.sizes import size
from copgen.stages.sweep.settings import SweepSettings
from copgen_cli import options as o
from copgen_cli.console import Shown, answer
from copgen_cli.story import Story
from copgen_cli.tables import Table
from copgen_cli.wording import duration, number_of

if TYPE_CHECKING:
    from copgen.distributed.slices import ShardSlice

Seeds = Annotated[
    int | None,
    o.option(help="Runs with as many seeds, from that of the settings on.", value="N", panel=SETTINGS, parser=o.count),
]
# Numbers of a summary that are shown: name, column, factor; those beyond them are in summary.json.
SHOWN = {
    "navigate": (
        ("samples", "samples", 1.0),
        ("kept", "kept", 1.0),
        ("loss_smoothed", "loss of f", 1.0),
        ("shift.d_mean", "d(z, z')", 1.0),
        ("stop_rules.probe.best", "probe %", 100.0),
    ),
    "pretrain": (("updates", "updates", 1.0), ("loss", "loss", 1.0)),
}
COUNTS = {"samples", "kept", "updates"}
SPREAD = "Mean +- sample standard deviation over seeds."


def run_sweep(
    settings: SweepSettings,
    run: o.Run,
    story: Story,
    *,
    out: Path,
    overwrite: bool,
    part: ShardSlice | None = None,
) -> None:
    """Run a sweep or its slice, or print its plan, and report the table; arguments as the stage's.

    Raises:
        typer.Exit: a run failed, with the code of its error; of several, that of the first. The table has the others.
    """
    from copgen.stages.sweep.stage import estimate, sweep

    with story:
        if run.dry_run:
            plan = estimate(settings, out=out, overwrite=overwrite, part=part, events=story)
            answer({"out": str(out), **plan}, shown_plan(plan, out), as_json=run.as_json)
            return
        found = sweep(settings, out=out, overwrite=overwrite, part=part, events=story)
        failed = {one["name"]: one["code"] for one in found["failed"]}
        missing = [name for name in found["missing"] if name not in failed]
        if missing:
            story.say(f"{number_of(len(missing), 'run')} missing: of other slices. Run the same command after them.")
    done = next((one["name"] for one in found["runs"] if one["summary"] is not None), None)
    first = str(out / (done or found["runs"][0]["name"]))
    then = {
        "navigate": ("copgen", "sample", "--out", "pairs/", "--n", "10k", "--navigator", first),
        "pretrain": ("copgen", "eval", "linear", "--ckpt", first),
    }[settings.stage]
    run.answer({"out": str(out), **found}, [table(found), ("runs", f"{out}/")], *then)
    if failed:
        raise typer.Exit(next(iter(failed.values())))


def shown_plan(plan: Mapping[str, Any], out: Path) -> list[Shown]:
    """The plan of a sweep."""
    own, missing = set(plan["own"]), set(plan["missing"])
    states = {
        name: "to run" if name in missing else "finished" if name in own else "other slice" for name in plan["runs"]
    }
    cost = f"{size(plan['memory_bytes'])} of memory, {size(plan['disk_bytes'])} of disk"
    return [
        ("about", f"{duration(plan['seconds'])}, {cost}"),
        ("runs", f"{len(missing):,} of {len(plan['runs']):,} to run, into {out}/"),
        Table("", ("run", "state"), [*states.items()], texts=2),
    ]


def table(found: Mapping[str, Any]) -> Table:
    """A row for each combination: its values, why its runs ended, and the numbers that all of its runs have."""
    rows, names = found["rows"], found["names"]
    names = [name for name in rows[0]["values"] if name in names] if rows else names
    extra = dict.fromkeys(name for row in rows for name in row["measures"] if ": " in name)
    columns = [*SHOWN[found["stage"]], *((name, "\n".join(name.rsplit(": ", 1)), 1.0) for name in extra)]
    if all(_same(row["measures"], "kept", "samples") for row in rows):
        columns = [column for column in columns if column[0] != "kept"]
    lines = []
    for row in rows:
        ended = ", ".join(
            f"{rule} {number}" if len(row["ended_by"]) > 1 else rule for rule, number in row["ended_by"].items()
        )
        done = f"{len(row['seeds'])}" if len(row["seeds"]) == row["runs"] else f"{len(row['seeds'])} of {row['runs']}"
        numbers = (cell(row["measures"].get(name), factor, whole=name in COUNTS) for name, _, factor in columns)
        lines.append((*(_text(row["values"][name]) for name in names), ended, done, *numbers))
    heads = (*names, "stopped by", "runs", *(title for _, title, _ in columns))
    notes = [SPREAD] if any(row["runs"] > 1 for row in rows) else []
    notes += [f"{one['name']} failed: {one['what']} {one['fix']}".strip() for one in found["failed"]]
    return Table("", heads, lines, texts=len(names) + 1, notes=tuple(notes)).filled()


def cell(measure: Mapping[str, Any] | None, factor: float, *, whole: bool = False) -> str:
    """'0.0521 +- 0.0012'; counts without decimals; empty if it is unknown."""
    if measure is None:
        return ""
    mean = factor * measure["mean"]
    form = ",.0f" if whole else ".2f" if abs(mean) >= 1 or mean == 0 else "#.3g"
    return f"{mean:{form}}" if measure["std"] is None else f"{mean:{form}} +- {factor * measure['std']:{form}}"


def _same(measures: Mapping[str, Any], one: str, other: str) -> bool:
    return measures.get(one) == measures.get(other)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
