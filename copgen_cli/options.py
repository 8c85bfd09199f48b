"""Parsers of values, and the options that are no settings, as types and as bundles of what many commands take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from copgen.runtime.counts import parse_count
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.panels import OUTPUT, PANELS, REPORT, SETTINGS, WHAT

FLAG = ""  # the metavar of a switch, which takes no value


class BadValue(typer.BadParameter):
    """A value that an option cannot take, with the way to mend it."""

    def __init__(self, error: UsageError) -> None:
        super().__init__(error.what)
        self.fix = error.fix


def count(text: str) -> int:
    """A count such as 200k or 1.3M, exactly."""
    try:
        return parse_count(text)
    except UsageError as error:
        raise BadValue(error) from None


def whole(text: str) -> int:
    """A whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise BadValue(UsageError(f"'{text}' is not a whole number of at least 0."))
    return int(text)


def number(text: str) -> float:
    """A number; its range is the stage's to check."""
    try:
        return float(text)
    except ValueError:
        raise BadValue(UsageError(f"'{text}' is not a number.")) from None


def one_of(kind: str, *names: str) -> Callable[[str], str]:
    """A parser that takes one of the names, and answers any other with the nearest."""

    def parse(text: str) -> str:
        if text not in names:
            raise BadValue(unknown(kind, text, names))
        return text

    return parse


def examples(*lines: str) -> str:
    """The end of a help screen: commands to copy."""
    return "\n".join(["[bold]Examples[/bold]", *(f"[cyan]{line}[/cyan]" for line in lines)])


def show_help(context: typer.Context, wanted: bool) -> None:
    """Print the help and leave, as `--help` does."""
    if wanted:
        typer.echo(context.get_help())
        raise typer.Exit()


def _help(panel: str | None) -> Any:
    return typer.Option(
        "--help",
        "-h",
        metavar=FLAG,
        help="This text.",
        rich_help_panel=panel,
        expose_value=False,
        is_eager=True,
        callback=show_help,
    )


# What it works on
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its weights, if not the ones that come with it.", rich_help_panel=WHAT),
]
PairsFolder = Annotated[Path, typer.Argument(metavar="PAIRS", help="The pairs folder.")]

# Where the other settings come from
Seed = Annotated[
    int | None, typer.Option(parser=whole, metavar="N", help="Seed of every random number.", rich_help_panel=SETTINGS)
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.", rich_help_panel=SETTINGS)
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME",
        help="Settings that come with copgen (the generator's).",
        rich_help_panel=SETTINGS,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Settings in TOML; flags beat them.", rich_help_panel=SETTINGS),
]

# Where the result goes
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", metavar=FLAG, help="Start from scratch over what is there.", rich_help_panel=OUTPUT),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", metavar=FLAG, help="Only show settings, time, memory and disk.", rich_help_panel=OUTPUT),
]
Replace = Annotated[
    bool, typer.Option("--overwrite", metavar=FLAG, help="Replace what is there.", rich_help_panel=OUTPUT)
]


def folder(help: str) -> Any:
    """The option `--out` of a command that writes a folder."""
    return typer.Option("--out", "-o", metavar="FOLDER", help=help, rich_help_panel=OUTPUT)


def file(help: str) -> Any:
    """The option `--out` of a command that writes a file."""
    return typer.Option("--out", "-o", metavar="FILE", help=help, rich_help_panel=OUTPUT)


# How it is told
Json = Annotated[
    bool, typer.Option("--json", metavar=FLAG, help="The answer as one JSON document.", rich_help_panel=REPORT)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar=FLAG, help="The answer only, no progress.", rich_help_panel=REPORT)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", metavar=FLAG, help="All settings and metrics.", rich_help_panel=REPORT)
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        metavar=FLAG,
        help="The traceback of an unexpected error.",
        rich_help_panel=REPORT,
        expose_value=False,  # `copgen_cli.main` acts on it, wherever it stands
    ),
]
Help = Annotated[bool, _help(REPORT)]
PlainHelp = Annotated[bool, _help(None)]


@dataclass(frozen=True)
class Report:
    """How a command tells its result: what all of them take."""

    as_json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True)
class Run(Report):
    """What a command takes that runs a stage."""

    config: Config = None
    dry_run: DryRun = False
    verbose: Verbose = False


@dataclass(frozen=True)
class FolderRun(Run):
    """What a command takes whose stage writes a folder that it can resume."""

    recipe: Recipe = None
    overwrite: Overwrite = False


def by_panel(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Parameters in the order of their panels; arguments, which have none, first."""

    def place(parameter: Parameter) -> int:
        notes = [getattr(note, "rich_help_panel", None) for note in get_args(parameter.annotation)]
        panel = next((note for note in notes if isinstance(note, str)), None)
        return -1 if panel is None else PANELS.index(panel)

    return sorted(parameters, key=place)
