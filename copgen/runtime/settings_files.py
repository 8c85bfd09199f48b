"""Settings files in TOML: those of the user, and the built-in recipes."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from copgen.runtime.errors import UsageError, unknown

Tree = dict[str, Any]
_piped: dict[Path, str] = {}  # contents of pipes, which can be read only once


def read_toml(path: Path) -> Tree:
    """A TOML file as plain values; it may be a pipe, such as /dev/stdin.

    Raises:
        UsageError: missing, unreadable or not TOML.
    """
    try:
        if path.is_file():
            return tomllib.loads(path.read_text("utf-8-sig"))
        if path not in _piped:
            _piped[path] = path.read_text("utf-8-sig")
        return tomllib.loads(_piped[path])
    except FileNotFoundError:
        raise UsageError(f"There is no settings file {path}.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}.") from None


def config_table(config: Path | None, stage: str) -> Tree:
    """The unchecked settings of a stage in a config file: its table, or else the top level.

    Raises:
        UsageError: missing, unreadable or not TOML.
    """
    tree = read_toml(config) if config is not None else {}
    table = tree.get(stage)
    return table if isinstance(table, dict) else tree


def recipe_names() -> list[str]:
    """The names of the built-in recipes."""
    folder = resources.files("copgen") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """A recipe's file.

    Raises:
        UsageError: unknown name, with the nearest one.
    """
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names())
    return (resources.files("copgen") / "recipes" / f"{name}.toml").read_text("utf-8")


def read_recipe(name: str) -> Tree:
    """A recipe: a table of settings for each stage.

    Raises:
        UsageError: unknown name, with the nearest one.
    """
    return tomllib.loads(recipe_text(name))
