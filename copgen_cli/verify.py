"""`copgen verify`: check the files of a pairs folder, and print the commands that fix them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import ExitCode
from copgen.runtime.panels import SETTINGS
from copgen.runtime.printable import command_line
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.resolving import refuse_both
from copgen_cli.wording import number_of

MOST_SHOWN = 20
CHECKED = {"quick": "names, sizes and counts", "full": "every byte", "decode": "every byte and every image"}

Quick = Annotated[bool, o.option("--quick", help="Check names, sizes and counts only.", panel=SETTINGS)]
Decode = Annotated[bool, o.option("--decode", help="Also decode every image.", panel=SETTINGS)]


@command("copgen verify pairs/", "copgen verify pairs/ --quick", "copgen verify downloaded-pairs/ --decode")
def verify(
    report: o.Report, pairs: o.PairsFolder = Path("pairs"), quick: Quick = False, decode: Decode = False
) -> None:
    """Find missing, truncated, modified or unexpected files.

    Reads and hashes every byte, unless --quick is given, and changes nothing.
    If a shard is damaged it prints the command that recomputes it, byte for
    byte, and exits with code 3.
    """
    from copgen.stages.pairs_folder.verify import verify_pairs

    refuse_both(quick=quick or None, decode=decode or None)
    with report.story() as story:
        found = verify_pairs(pairs, level="quick" if quick else "decode" if decode else "full", events=story)
        if left := found["leftovers"]:
            files = number_of(len(left), "temporary file")
            story.warn(f"{files} of stopped or running workers, such as {left[0]}; harmless.")
    problems = found["problems"]
    fixes = [one["command"] for one in problems if one["command"]]
    otherwise = ["copgen", "show", f"{pairs}/"] if problems else ["copgen", "pretrain", "--pairs", f"{pairs}/"]
    document = {"folder": str(pairs), "whole": not problems, **found}
    report.answer(document, rows(pairs, found), *(fixes[0] if fixes else otherwise))
    if problems:
        raise typer.Exit(ExitCode.DATA)


def rows(pairs: Path, found: dict[str, Any]) -> list[Row]:
    """The result in rows; after the problems of a shard their fix."""
    problems = found["problems"]
    lines = [
        ("pairs", f"{found['pairs']:,} in {number_of(found['shards'], 'shard')} of {pairs}/"),
        ("checked", CHECKED[found["level"]]),
        ("problems", f"{len(problems):,}" if problems else "none"),
    ]
    for place, one in enumerate(problems[:MOST_SHOWN]):
        lines.append((f"shard {one['shard']}" if one["shard"] is not None else "folder", one["what"]))
        following = problems[place + 1]["shard"] if place + 1 < len(problems) else None
        if one["shard"] is None or one["shard"] != following:
            lines.append(("  fix", command_line(*one["command"]) if one["command"] else one["fix"]))
    if len(problems) > MOST_SHOWN:
        lines.append(("", f"and {len(problems) - MOST_SHOWN:,} more; --json lists all"))
    return lines
