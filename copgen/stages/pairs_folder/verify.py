"""`copgen verify`: check a pairs folder for missing, truncated or modified files, and say which command fixes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.pairs.verification import Level, Problem, leftovers, load_plan, problems
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors


@path_errors()
def verify_pairs(folder: Path, *, level: Level = "full", events: Events | None = None) -> dict[str, Any]:
    """List everything that is wrong with a pairs folder; changes nothing.

    Args:
        folder: the pairs folder.
        level: `quick`, `full` or `decode`, see `copgen.pairs.verify`.
        events: receives progress and messages.

    Raises:
        DataError: not a pairs folder, or a plan that cannot be read.
        UsageError: unknown level.
    """
    events = events or Silent()
    plan = load_plan(folder)
    events.begin("verify", total=plan.shards, unit="shards")
    try:
        found = list(problems(folder, level, checked=lambda done: events.advance(done, {})))
    finally:
        events.end()
    return {
        "level": level,
        "pairs": plan.pairs,
        "shards": plan.shards,
        "problems": [describe(problem) for problem in found],
        "leftovers": [str(path) for path in leftovers(folder)],
    }


def describe(problem: Problem) -> dict[str, Any]:
    """A problem as a JSON object."""
    return {
        "file": str(problem.file),
        "shard": problem.shard,
        "what": problem.what,
        "fix": problem.fix,
        "command": list(problem.command) if problem.command else None,
    }
