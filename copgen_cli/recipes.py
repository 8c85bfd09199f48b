"""`copgen recipes`: the settings that come with copgen, to read and to copy."""

from __future__ import annotations

from typing import Annotated

import typer

from copgen.runtime.settings import flatten
from copgen.runtime.settings_files import read_recipe, recipe_names, recipe_text
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import answer, answers
from copgen_cli.story import Story

Name = Annotated[str, typer.Argument(metavar="NAME", help="A recipe's name: digits.")]
First = Annotated[str, typer.Argument(metavar="A", help="A recipe's name.")]
Second = Annotated[str, typer.Argument(metavar="B", help="Another's.")]


@command("copgen recipes list", "copgen recipes list --json")
def list_recipes(report: o.Report) -> None:
    """List the recipes, and what each is for."""
    known = {name: recipe_text(name).splitlines()[0].removeprefix("#").strip() for name in recipe_names()}
    document = {"recipes": [{"name": name, "about": about} for name, about in known.items()]}
    answer(document, list(known.items()), as_json=report.as_json)
    Story(quiet=report.quiet).next("copgen", "recipes", "show", next(iter(known)))


@command("copgen recipes show digits", "copgen recipes show digits > mine.toml")
def show(name: Name, report: o.Report) -> None:
    """Show a recipe as it is written, in TOML.

    --config takes it, changed or not.
    """
    tree = read_recipe(name)
    if report.as_json:
        answer({"name": name, "recipe": tree}, [], as_json=True)
    else:
        answers().tell(recipe_text(name).rstrip())
    Story(quiet=report.quiet).next("copgen", "navigate", "--recipe", name)


@command("copgen recipes diff bigbigan bigbigan-algorithm1", "copgen recipes diff bigbigan icgan-128 --json")
def diff(
    first: First,
    second: Second,
    *,
    report: o.Report,
) -> None:
    """Show the settings in which two recipes differ.

    A setting that only one of them has is the stage's default in the other.
    """
    here, there = flatten(read_recipe(first)), flatten(read_recipe(second))
    names = [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
    found = [{"setting": name, "first": here.get(name), "second": there.get(name)} for name in names]
    rows = [(name, f"{plain(here.get(name))} -> {plain(there.get(name))}") for name in names]
    document = {"first": first, "second": second, "differences": found}
    answer(document, rows or [("same", f"{first} and {second} agree in everything")], as_json=report.as_json)
    Story(quiet=report.quiet).next("copgen", "recipes", "show", second)


def plain(value: object) -> str:
    """A setting's value in a line, as TOML writes it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)
