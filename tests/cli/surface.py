"""The flag surface: every command with every argument and option, one a line.

    python -m tests.cli.surface > tests/cli/flags.txt

writes the snapshot anew; what changed then shows in the diff of that file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from copgen_cli.main import app


def commands(command: Any = None, path: str = "copgen") -> Iterator[tuple[str, Any]]:
    """(path, command) of the whole tree, in the order of the help."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def surface() -> str:
    """The snapshot's text."""
    lines = []
    for path, command in commands():
        lines.append(path)
        for parameter in command.params:
            value = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar}"
            lines.append(f"    {'/'.join(parameter.opts)}{value}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(surface(), end="")
