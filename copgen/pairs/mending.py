"""How to mend a pairs folder: the command that makes one shard anew, byte for byte, and the words around it."""

from __future__ import annotations

import shlex
from pathlib import Path

from copgen.pairs.places import Places
from copgen.pairs.plan import Contents, ImportedPlan
from copgen.runtime.errors import CopgenError

COPY = "Copy the file again from where it came."
REMOVE = "Remove it."


def again(plan: Contents) -> str:
    """What to do where the whole command has to be given again: it writes what is missing."""
    return f"Copy the file again from where it came, or give the same `{plan.command}` command again."


def only(folder: Path, plan: Contents, number: int) -> tuple[str, ...]:
    """The command that makes shard `number` of the plan in the folder anew, as words.

    `sample --only` finds the files that the plan knows by their hashes (`copgen.pairs.places`). Of imported pairs the
    command names the tree; FOLDER stands for one that nobody knows.
    """
    verb = ("import", _tree(folder)) if isinstance(plan, ImportedPlan) else ("sample",)
    return ("copgen", *verb, "--out", f"{folder}/", "--only", str(number))


def _tree(folder: Path) -> str:
    """Where the tree of imported pairs lies, as near or as far as their folder is named."""
    try:
        tree = Places.load(folder).path("tree")
    except CopgenError:
        tree = None
    if tree is None:
        return "FOLDER"
    return str(tree.absolute() if folder.is_absolute() else tree)


def shard_anew(folder: Path, plan: Contents, number: int) -> str:
    """What to do about a damaged shard."""
    return f"Copy it again from where it came, or make it anew: {shlex.join(only(folder, plan, number))}"
