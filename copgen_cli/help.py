"""Help screens: the arguments, options and commands of a command in panels, with examples to copy.

typer's own screens import a Markdown parser and a syntax highlighter, which takes longer than everything else here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from copgen_cli.console import Channel, answers

Row = tuple[Text, str]
BESIDE = 24  # columns beside the names, at least, however narrow the terminal is


class HelpScreen:
    """Mixed into the parser's commands: prints their help in copgen's form."""

    def get_help(self, ctx: Any) -> str:
        """Print the help; nothing is left to print for the caller."""
        show(self, ctx)
        return ""


def show(command: Any, context: Any) -> None:
    """Print the help of a command or group."""
    console = answers()
    with console.writing():
        _print(console, command, context)


def _print(console: Channel, command: Any, context: Any) -> None:
    panels = _panels(command)
    width = max(len(name) for rows in panels.values() for name, _ in rows)
    console.width = max(console.width, width + BESIDE)
    usage = " ".join(command.collect_usage_pieces(context))
    console.print(Text.assemble(("Usage: ", "yellow"), (f"{context.command_path} {usage}", "bold")))
    console.print()
    console.print(command.help, markup=False)
    console.print()
    for title, rows in panels.items():
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=width, no_wrap=True)
        grid.add_column()
        for row in rows:
            grid.add_row(*row)
        console.print(Panel(grid, title=title, title_align="left", border_style="dim"))
    console.print()
    console.print("Examples", style="bold")
    for line in command.epilog.splitlines():
        console.print(f"  {line}", style="cyan", markup=False, soft_wrap=True)


def _panels(command: Any) -> dict[str, list[Row]]:
    """The rows of each panel: arguments, options, then the commands of a group."""
    panels: dict[str, list[Row]] = {}
    for title, row in (*_parameters(command), *_commands(command)):
        panels.setdefault(title, []).append(row)
    return panels


def _parameters(command: Any) -> Iterator[tuple[str, Row]]:
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        names, metavar = ", ".join(parameter.opts), parameter.metavar or ""
        if parameter.secondary_opts:
            names = names.replace("--", "--[no-]", 1)
        argument = parameter.param_type_name == "argument"
        title = "Arguments" if argument else parameter.rich_help_panel or "Options"
        note = "required" if parameter.required and not argument else parameter.default
        text = f"{parameter.help.removesuffix('.')} ({note})." if note else parameter.help
        name = (
            Text(metavar, "bold cyan") if argument else Text.assemble((names, "bold cyan"), (f" {metavar}", "yellow"))
        )
        name.rstrip()
        yield title, (name, text)


def _commands(command: Any) -> Iterator[tuple[str, Row]]:
    for name, one in getattr(command, "commands", {}).items():
        yield one.rich_help_panel or "Commands", (Text(name, "bold cyan"), one.help)
