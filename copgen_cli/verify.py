"""`copgen verify`: whether a pairs folder is whole, and how to mend what is not."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import ExitCode, UsageError
from copgen.runtime.panels import HOW
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.story import Story

MOST_SHOWN = 20
CHECKED = {
    "quick": "names, sizes and counts",
    "full": "every byte",
    "decode": "every byte and every image",
}

Quick = Annotated[
    bool, typer.Option("--quick", metavar=o.FLAG, help="Names, sizes and counts only.", rich_help_panel=HOW)
]
Decode = Annotated[
    bool, typer.Option("--decode", metavar=o.FLAG, help="Decode every image besides.", rich_help_panel=HOW)
]


@command("copgen verify pairs/", "copgen verify pairs/ --quick", "copgen verify downloaded-pairs/ --decode")
def verify(
    pairs: o.PairsFolder = Path("pairs"),
    quick: Quick = False,
    decode: Decode = False,
    *,
    report: o.Report,
) -> None:
    """Find missing, truncated, modified or unexpected files of pairs.

    By default every byte is read and hashed. Says which shard is damaged and
    the command that recomputes it, byte for byte; then the exit code is 3.
    Nothing is changed.
    """
    from copgen.stages.pairs_folder.verify import verify_pairs

    if quick and decode:
        raise UsageError("--quick and --decode exclude each other.", fix="Give one of them.")
    with Story(quiet=report.quiet) as story:
        found = verify_pairs(pairs, level="quick" if quick else "decode" if decode else "full", events=story)
        if left := found["leftovers"]:
            count = f"{len(left):,} {'file' if len(left) == 1 else 'files'}"
            story.warn(f"Workers that stopped, or still run, left {count}, such as {left[0]}; it does no harm.")
        problems = found["problems"]
        answer({"folder": str(pairs), "whole": not problems, **found}, rows(pairs, found), as_json=report.as_json)
        if not problems:
            story.next("copgen", "pretrain", "--pairs", f"{pairs}/")
            return
        if command := next((one["command"] for one in problems if one["command"]), None):
            story.next(*command)
        else:
            story.next("copgen", "show", f"{pairs}/")
    raise typer.Exit(ExitCode.DATA)


def rows(pairs: Path, found: dict[str, Any]) -> list[Row]:
    """The outcome in lines; each problem with its way to be mended, once for each shard."""
    problems = found["problems"]
    shards = "1 shard" if found["shards"] == 1 else f"{found['shards']:,} shards"
    lines = [
        ("pairs", f"{found['pairs']:,} in {shards} of {pairs}/"),
        ("checked", CHECKED[found["level"]]),
        ("problems", f"{len(problems):,}" if problems else "none"),
    ]
    for place, one in enumerate(problems[:MOST_SHOWN]):
        lines.append((f"shard {one['shard']}" if one["shard"] is not None else "folder", one["what"]))
        following = problems[place + 1]["shard"] if place + 1 < len(problems) else None
        if one["shard"] is None or one["shard"] != following:
            lines.append(("  mend", shlex.join(one["command"]) if one["command"] else one["fix"]))
    if len(problems) > MOST_SHOWN:
        lines.append(("", f"and {len(problems) - MOST_SHOWN:,} more; --json lists all"))
    return lines
