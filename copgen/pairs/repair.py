"""How to repair a pairs folder: the command that regenerates one shard, byte for byte, and the remedies in errors."""

from __future__ import annotations

from pathlib import Path

from copgen.pairs.places import Places
from copgen.pairs.plan import Contents, ImportedPlan
from copgen.runtime.errors import CopgenError
from copgen.runtime.printable import command_line

COPY = "Copy the file again from its source."
REMOVE = "Remove it."


def rerun(plan: Contents) -> str:
    """The remedy if the whole command has to run again: it writes what is missing."""
    return f"Copy the file again from its source, or run the same `{plan.command}` command again."


def shard_command(folder: Path, plan: Contents, number: int) -> tuple[str, ...]:
    """The command that regenerates shard `number` of the folder, as a list of words.

    `sample --only` finds the files that the plan knows by their hashes (`copgen.pairs.places`). For imported pairs the
    command names the tree, or FOLDER if its path is unknown.
    """
    verb = ("import", _tree(folder)) if isinstance(plan, ImportedPlan) else ("sample",)
    return ("copgen", *verb, "--out", f"{folder}/", "--only", str(number))


def _tree(folder: Path) -> str:
    """The path of the tree of imported pairs, absolute if the path of the pairs folder is."""
    try:
        tree = Places.load(folder).path("tree")
    except CopgenError:
        tree = None
    if tree is None:
        return "FOLDER"
    return str(tree.absolute() if folder.is_absolute() else tree)


def regenerate(folder: Path, plan: Contents, number: int) -> str:
    """The remedy for a damaged shard."""
    return f"Copy it again from its source, or regenerate it: {command_line(*shard_command(folder, plan, number))}"
