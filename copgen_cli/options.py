"""Parsers of values, and the options that are not settings, as types and as bundles shared by many commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from copgen.runtime.counts import parse_count
from copgen.runtime.environment import home_expanded
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.panels import INPUT, OUTPUT, PANELS, REPORT, SETTINGS
from copgen.runtime.urls import local_path, refuse_url

if TYPE_CHECKING:
    from copgen_cli.console import Shown
    from copgen_cli.story import Story


class BadValue(typer.BadParameter):
    """A value that an option cannot take, with its fix."""

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
    """A number; the stage checks its range."""
    try:
        return float(text)
    except ValueError:
        raise BadValue(UsageError(f"'{text}' is not a number.")) from None


def source(text: str) -> Path:
    """A path to read."""
    return _path(text, writing=False)


def target(text: str) -> Path:
    """A path to write."""
    return _path(text, writing=True)


def _path(text: str, *, writing: bool) -> Path:
    """A path, or that of a file:// URL; other URLs are refused.

    A shell leaves the `~` of `--out=~/runs` alone, and nobody means a folder with this name.
    """
    if str(text).startswith("~"):  # a default is a path already
        return home_expanded(text, "pass the whole path, or ./~ for a folder with this name")
    path = local_path(text)
    if path is not None:
        return path
    try:
        refuse_url(text, writing=writing)
    except UsageError as error:
        raise BadValue(error) from None
    return Path(text)


def one_of(kind: str, *names: str) -> Callable[[str], str]:
    """A parser that accepts one of the names; the error for any other gives the nearest."""

    def parse(text: str) -> str:
        if text not in names:
            raise BadValue(unknown(kind, text, names))
        return text

    return parse


def show_help(context: typer.Context, wanted: bool) -> None:
    """Print the help and exit, as `--help` does."""
    if wanted:
        context.get_help()
        raise typer.Exit()


def option(
    *names: str,
    help: str,
    value: str = "",
    panel: str | None = None,
    parser: Callable[[str], Any] | None = None,
    **how: Any,
) -> Any:
    """An option of the command line.

    Args:
        names: as they are typed; by default the parameter's.
        help: one line.
        value: placeholder of its value; empty for a switch.
        panel: of the help screen.
        parser: of its text.
        how: other arguments of `typer.Option`.
    """
    return typer.Option(*names, help=help, metavar=value, rich_help_panel=panel, parser=parser, **how)


def out(value: str, help: str) -> Any:
    """The option `--out` of a command that writes a FILE or a FOLDER."""
    return option("--out", "-o", help=help, value=value, panel=OUTPUT)


def _help(panel: str | None) -> Any:
    text = "Show this message."
    return option("--help", "-h", help=text, panel=panel, expose_value=False, is_eager=True, callback=show_help)


# Inputs
Weights = Annotated[Path | None, option(help="Weights file, instead of the default.", value="FILE", panel=INPUT)]
PairsFolder = Annotated[Path, typer.Argument(metavar="PAIRS", help="The pairs folder.")]

# Settings
Seed = Annotated[int | None, option(help="Random seed.", value="N", panel=SETTINGS, parser=whole)]
Device = Annotated[str | None, option(help="auto, cpu, cuda or cuda:N.", value="NAME", panel=SETTINGS)]
Recipe = Annotated[
    str | None, option("--recipe", "-r", help="Built-in recipe (the generator's).", value="NAME", panel=SETTINGS)
]
Config = Annotated[
    Path | None,
    option("--config", "-c", help="TOML file of settings; flags override it.", value="FILE", panel=SETTINGS),
]

# Outputs
Overwrite = Annotated[bool, option("--overwrite", help="Start from scratch, replacing the output.", panel=OUTPUT)]
Again = Annotated[bool, option("--overwrite", help="Evaluate again, even if it is finished.", panel=OUTPUT)]
Replace = Annotated[bool, option("--overwrite", help="Replace an existing file.", panel=OUTPUT)]
DryRun = Annotated[bool, option("--dry-run", help="Print settings, time, memory and disk only.", panel=OUTPUT)]

# Reporting
Json = Annotated[bool, option("--json", help="Print the result as one JSON document.", panel=REPORT)]
Quiet = Annotated[bool, option("--quiet", "-q", help="Print the result only, no progress.", panel=REPORT)]
Verbose = Annotated[bool, option("--verbose", "-v", help="Print all settings and metrics.", panel=REPORT)]
# `copgen_cli.main` acts on it, at any position
Debug = Annotated[
    bool, option("--debug", help="Print tracebacks of internal errors.", panel=REPORT, expose_value=False)
]
Help = Annotated[bool, _help(REPORT)]
PlainHelp = Annotated[bool, _help(None)]


@dataclass(frozen=True)
class Report:
    """How a command reports: the options of all of them."""

    as_json: Json = False
    quiet: Quiet = False

    def story(self, *, quiet: bool = False) -> Story:
        """What is printed on stderr, as a context."""
        from copgen_cli.story import Story

        return Story(quiet=self.quiet or quiet, verbose=getattr(self, "verbose", False))

    def answer(self, document: Mapping[str, Any], parts: Sequence[Shown], *then: str) -> None:
        """The result on stdout, and the next command on stderr."""
        from copgen_cli.console import answer

        answer(document, parts, as_json=self.as_json)
        if then:
            self.story().next(*then)


@dataclass(frozen=True)
class Run(Report):
    """The options of a command that runs a stage."""

    config: Config = None
    dry_run: DryRun = False
    verbose: Verbose = False


@dataclass(frozen=True)
class FolderRun(Run):
    """The options of a command whose stage writes a folder that it can resume."""

    recipe: Recipe = None
    overwrite: Overwrite = False


def by_panel(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Parameters in the order of their panels, each with --out first; before them arguments, which have none."""

    def place(parameter: Parameter) -> tuple[int, bool]:
        notes = [getattr(note, "rich_help_panel", None) for note in get_args(parameter.annotation)]
        panel = next((note for note in notes if isinstance(note, str)), None)
        return -1 if panel is None else PANELS.index(panel), parameter.name != "out"

    return sorted(parameters, key=place)
