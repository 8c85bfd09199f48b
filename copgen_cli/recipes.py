"""`copgen recipes`: the settings that come with copgen, to read and to copy."""

from __future__ import annotations

from importlib import resources
from typing import Annotated

import typer

from copgen_cli import options as o
from copgen_cli.console import answer, answers
from copgen_cli.story import Story

SHOW_EPILOG = o.examples("copgen recipes show digits", "copgen recipes show digits > mine.toml")
DIFF_EPILOG = o.examples(
    "copgen recipes diff bigbigan bigbigan-algorithm1", "copgen recipes diff bigbigan icgan-128 --json"
)
LIST_EPILOG = o.examples("copgen recipes list", "copgen recipes list --json")
app = typer.Typer(
    no_args_is_help=True,
    add_help_option=False,
    epilog=o.examples("copgen recipes list", "copgen recipes show digits"),
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A recipe's name: digits.")]
First = Annotated[str, typer.Argument(metavar="A", help="A recipe's name.")]
Second = Annotated[str, typer.Argument(metavar="B", help="Another's.")]


@app.callback()
def about(help: o.PlainHelp = False) -> None:
    """List, show and compare the settings that come with copgen."""


@app.command("list", epilog=LIST_EPILOG, add_help_option=False)
def list_recipes(as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False, help: o.Help = False) -> None:
    """List the recipes, and what each is for."""
    from copgen.runtime.settings import recipe_names

    known = {name: text(name).splitlines()[0].removeprefix("#").strip() for name in recipe_names()}
    answer({"recipes": [{"name": n, "about": a} for n, a in known.items()]}, list(known.items()), as_json=as_json)
    Story(quiet=quiet).next("copgen", "recipes", "show", next(iter(known)))


@app.command(epilog=SHOW_EPILOG, add_help_option=False)
def show(
    name: Name, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False, help: o.Help = False
) -> None:
    """Show a recipe as it is written, in TOML.

    --config takes it, changed or not.
    """
    from copgen.runtime.settings import read_recipe

    tree = read_recipe(name)
    if as_json:
        answer({"name": name, "recipe": tree}, [], as_json=True)
    else:
        answers().tell(text(name).rstrip())
    Story(quiet=quiet).next("copgen", "navigate", "--recipe", name)


@app.command(epilog=DIFF_EPILOG, add_help_option=False)
def diff(
    first: First,
    second: Second,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """Show the settings in which two recipes differ.

    A setting that only one of them has is the stage's default in the other.
    """
    from copgen.runtime.settings import flatten, read_recipe

    here, there = flatten(read_recipe(first)), flatten(read_recipe(second))
    names = [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
    found = [{"setting": name, "first": here.get(name), "second": there.get(name)} for name in names]
    rows = [(name, f"{plain(here.get(name))} -> {plain(there.get(name))}") for name in names]
    document = {"first": first, "second": second, "differences": found}
    answer(document, rows or [("same", f"{first} and {second} agree in everything")], as_json=as_json)
    Story(quiet=quiet).next("copgen", "recipes", "show", second)


def plain(value: object) -> str:
    """A setting's value in a line, as TOML writes it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def text(name: str) -> str:
    """A recipe's file."""
    return (resources.files("copgen") / "recipes" / f"{name}.toml").read_text("utf-8")
