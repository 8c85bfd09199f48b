"""The snapshots of the command line: its flags (every argument and option, one a line) and its help screens.

    python -m tests.cli.surface

writes both again, `flags.txt` and `help.txt`, so that a change shows in their diff.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from copgen_cli.commands import group
from copgen_cli.main import about
from copgen_cli.table import COMMANDS, COPGEN
from tests.cli.command import copgen

FLAGS, HELP = (Path(__file__).with_name(name) for name in ("flags.txt", "help.txt"))


def commands(command: Any = None, path: str = "copgen") -> Iterator[tuple[str, Any]]:
    """(path, command) of the whole tree, in the order of the help; each command is imported."""
    command = command or group(COMMANDS, "", about, COPGEN)
    yield path, command
    for name in getattr(command, "commands", {}):
        yield from commands(command.loaded(name), f"{path} {name}")


def surface() -> str:
    """The text of the snapshot of flags."""
    lines = []
    for path, command in commands():
        lines.append(path)
        for parameter in command.params:
            value = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar}"
            former = " (former)" if getattr(parameter, "hidden", False) else ""
            lines.append(f"    {'/'.join((*parameter.opts, *parameter.secondary_opts))}{value}{former}")
    return "\n".join(lines) + "\n"


def screens() -> str:
    """The text of the snapshot of help screens, which takes the width of the terminal from COLUMNS."""
    texts = (f"$ {path} --help\n{copgen(*path.split()[1:], '--help').out}" for path, _ in commands())
    return "\n".join(texts)


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    FLAGS.write_text(surface(), "utf-8")
    HELP.write_text(screens(), "utf-8")
