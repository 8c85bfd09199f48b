"""The flag surface: every command with every argument and option, one a line.

    python -m tests.cli.surface > tests/cli/flags.txt

writes the snapshot anew; what changed then shows in the diff of that file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from copgen_cli.commands import group
from copgen_cli.main import about
from copgen_cli.table import COMMANDS, COPGEN


def commands(command: Any = None, path: str = "copgen") -> Iterator[tuple[str, Any]]:
    """(path, command) of the whole tree, in the order of the help; each command is imported."""
    command = command or group(COMMANDS, "", about, COPGEN)
    yield path, command
    for name in getattr(command, "commands", {}):
        yield from commands(command.loaded(name), f"{path} {name}")


def surface() -> str:
    """The snapshot's text."""
    lines = []
    for path, command in commands():
        lines.append(path)
        for parameter in command.params:
            value = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar}"
            former = " (former)" if getattr(parameter, "hidden", False) else ""
            lines.append(f"    {'/'.join(parameter.opts)}{value}{former}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(surface(), end="")
