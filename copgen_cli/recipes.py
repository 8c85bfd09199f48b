"""`copgen recipes`: the built-in settings, to read and to copy."""

from __future__ import annotations

from typing import Annotated

import typer

from copgen.runtime.settings import flatten
from copgen.runtime.settings_files import read_recipe, recipe_names, recipe_text
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import answers

Name = Annotated[str, typer.Argument(metavar="NAME", help="A recipe, such as digits.")]
First = Annotated[str, typer.Argument(metavar="A", help="A recipe.")]
Second = Annotated[str, typer.Argument(metavar="B", help="Another recipe.")]


@command("copgen recipes list", "copgen recipes list --json")
def list_recipes(report: o.Report) -> None:
    """List the recipes."""
    known = {name: recipe_text(name).splitlines()[0].removeprefix("#").strip() for name in recipe_names()}
    document = {"recipes": [{"name": name, "about": about} for name, about in known.items()]}
    report.answer(document, list(known.items()), "copgen", "recipes", "show", next(iter(known)))


@command("copgen recipes show digits", "copgen recipes show digits > mine.toml")
def show(name: Name, report: o.Report) -> None:
    """Print a recipe as TOML.

    Pass the file to --config, edited or not.
    """
    if not report.as_json:
        answers().page(recipe_text(name))
        report.story().next("copgen", "navigate", "--recipe", name)
        return
    report.answer({"name": name, "recipe": read_recipe(name)}, [], "copgen", "navigate", "--recipe", name)


@command("copgen recipes diff bigbigan bigbigan-algorithm1", "copgen recipes diff bigbigan icgan-128 --json")
def diff(first: First, second: Second, report: o.Report) -> None:
    """Compare the settings of two recipes.

    A setting of only one of them has the stage's default in the other.
    """
    here, there = flatten(read_recipe(first)), flatten(read_recipe(second))
    names = [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
    differences = [{"setting": name, "first": here.get(name), "second": there.get(name)} for name in names]
    rows = [(name, f"{plain(here.get(name))} -> {plain(there.get(name))}") for name in names]
    document = {"first": first, "second": second, "differences": differences}
    same = [("same", f"{first} and {second} have the same settings")]
    report.answer(document, rows or same, "copgen", "recipes", "show", second)


def plain(value: object) -> str:
    """A setting's value as in TOML, on one line."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)
