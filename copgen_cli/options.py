"""The options that commands share, as types: each is written once, so it reads and behaves the same everywhere.

An option that is not given is None: its value then comes from `--config`, or from the recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.counts import parse_count
from copgen.runtime.errors import UsageError, unknown

WHAT = "What"
TRAINING = "Training"
SPEED = "Speed and memory"
SETTINGS = "Settings"
OUTPUT = "Output and resuming"
REPORT = "Reporting"
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


def precision(text: str) -> str:
    """The name of a precision; bf16 is short for bfloat16."""
    return one_of("precision", "float32", "bfloat16", "float64")("bfloat16" if text == "bf16" else text)


def compilation(help: str, *modes: str) -> Any:
    """The option `--compile`, with its help and the modes of torch.compile that it takes beside 'off'."""
    return typer.Option(
        "--compile",
        parser=one_of("mode of compilation", "off", *modes),
        metavar="MODE",
        help=help,
        rich_help_panel=SPEED,
    )


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
Generator = Annotated[
    str | None,
    typer.Option("--generator", "-g", metavar="NAME", help="A generator's name, such as digits.", rich_help_panel=WHAT),
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its weights, if not the ones that come with it.", rich_help_panel=WHAT),
]
Instances = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Stored instances of an IC-GAN.", rich_help_panel=WHAT)
]
Truncation = Annotated[
    float | None,
    typer.Option(parser=number, metavar="T", help="Scale of a truncated normal, of GANs.", rich_help_panel=WHAT),
]
Inverse = Annotated[
    str | None,
    typer.Option(
        parser=one_of("inverse", "tight", "reference"),
        metavar="RULE",
        help="tight or reference, of published flows.",
        rich_help_panel=WHAT,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        parser=precision,
        metavar="NAME",
        help="Of the generator: float32, bfloat16, float64.",
        rich_help_panel=WHAT,
    ),
]
Conditions = Annotated[
    str | None,
    typer.Option(
        "--conditions",
        parser=one_of("rule of conditions", "uniform", "balanced"),
        metavar="RULE",
        help="Classes or instances: uniform or balanced.",
        rich_help_panel=WHAT,
    ),
]
ConditionList = Annotated[
    str | None,
    typer.Option(
        "--condition-list",
        metavar="ROWS",
        help="Only these: 1,5,9 or 0-99, or a file of them.",
        rich_help_panel=WHAT,
    ),
]
PairsFolder = Annotated[Path, typer.Argument(metavar="PAIRS", help="The pairs folder.")]
Dataset = Annotated[
    str | None, typer.Option(metavar="NAME", help="Real labelled images: digits.", rich_help_panel=WHAT)
]

# How long and how
Steps = Annotated[
    int | None,
    typer.Option(
        parser=count, metavar="COUNT", help="Training samples, such as 20k or 1.3M.", rich_help_panel=TRAINING
    ),
]
Updates = Annotated[
    int | None,
    typer.Option(
        parser=count,
        metavar="COUNT",
        help="Optimizer updates, instead of --steps.",
        rich_help_panel=TRAINING,
    ),
]
Batch = Annotated[
    int | None, typer.Option(parser=count, metavar="COUNT", help="Samples per update.", rich_help_panel=TRAINING)
]
Temperature = Annotated[
    float | None, typer.Option(parser=number, metavar="TAU", help="Temperature of InfoNCE.", rich_help_panel=TRAINING)
]
Views = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Augmentation T_x: a policy, such as simclr.", rich_help_panel=TRAINING),
]
Encoder = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Network f: digits, resnet18 or resnet50.", rich_help_panel=TRAINING),
]

# Where the other settings come from
Seed = Annotated[
    int | None, typer.Option(parser=whole, metavar="N", help="Decides every random number.", rich_help_panel=SETTINGS)
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
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings in TOML; flags beat them.",
        rich_help_panel=SETTINGS,
    ),
]

# Where the result goes
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", metavar=FLAG, help="Start anew over what is there.", rich_help_panel=OUTPUT),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar=FLAG,
        help="Only show settings, time, memory and disk.",
        rich_help_panel=OUTPUT,
    ),
]

# How it is told
Json = Annotated[
    bool, typer.Option("--json", metavar=FLAG, help="The answer as one JSON document.", rich_help_panel=REPORT)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar=FLAG, help="The answer only, no progress.", rich_help_panel=REPORT)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", metavar=FLAG, help="All settings and figures.", rich_help_panel=REPORT)
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
