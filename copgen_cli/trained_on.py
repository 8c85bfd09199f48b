"""The generator that a navigator or walk was trained on, for a command without --generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.latents.run_files import navigator_file, walk_file
from copgen.runtime.errors import DataError
from copgen.runtime.settings_files import read_recipe
from copgen_cli.resolving import recipe_of, text_of

DEFAULT_NAVIGATOR, DEFAULT_WALK = Path("runs/navigate"), Path("runs/steering")
# Settings of the generator that pairs take from the run of their navigator or walk.
OF_THE_GENERATOR = (
    "weights",
    "instances",
    "prior",
    "truncation_scale",
    "truncation_threshold",
    "inverse",
    "precision",
    "condition_list",
)


def trained_on(path: Path, *, generator: str | None, steering: bool = False) -> dict[str, Any]:
    """The generator of a navigator or walk and how it was loaded; empty if another `generator` is chosen.

    Raises:
        DataError: the file is missing, or its header is not valid.
    """
    file = walk_file(path) if steering else navigator_file(path)
    if not file.exists():
        kind, flag = ("walk", "--walk") if steering else ("navigator", "--navigator")
        how = "copgen navigate --objective steering" if steering else "copgen navigate"
        raise DataError(f"There is no {kind} {file}.", fix=f"Train one with {how}, or pass {flag}.")
    from copgen.storage.tensors import read_header  # imports torch

    header = read_header(file, kind="walk" if steering else "navigator")
    made_by = _table(header, "made_by")
    if generator not in (None, made_by.get("generator")):
        return {}
    trained = _table(made_by, "settings")
    return {
        "generator": made_by.get("generator"),
        **{name: trained[name] for name in OF_THE_GENERATOR if name in trained},
    }


def _table(header: dict[str, Any], name: str) -> dict[str, Any]:
    """A table in a header; empty if a foreign file has anything else there."""
    table = header.get(name)
    return table if isinstance(table, dict) else {}


def of_the_navigator(recipe: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The recipe, and the settings of the navigator or walk that the pairs are made with, if any."""
    generator = text_of(given, "generator")
    of_recipe = read_recipe(recipe).get("sample", {}) if recipe else {}
    known: dict[str, Any] = {}
    match text_of(given, "transform") or text_of(of_recipe, "transform", "optimal"):
        case "optimal":
            known = trained_on(Path(text_of(given, "navigator") or DEFAULT_NAVIGATOR), generator=generator)
        case "steering":
            known = trained_on(Path(text_of(given, "walk") or DEFAULT_WALK), generator=generator, steering=True)
    return recipe or recipe_of(generator or str(known.get("generator") or "digits")), known
