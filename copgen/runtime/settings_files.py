"""Settings files in TOML: those of the user, and the built-in recipes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from copgen.runtime.environment import placement
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.path_errors import path_error
from copgen.runtime.printable import is_utf8

Tree = dict[str, Any]
_ENCODED = "percent-encoded"
_piped: dict[Path, str] = {}  # contents of pipes, which can be read only once


def read_toml(path: Path) -> Tree:
    """A TOML file as plain values; it may be a pipe, such as /dev/stdin.

    Raises:
        UsageError: missing, unreadable or not TOML.
    """
    try:
        if path.is_file():
            return _parsed(path.read_text("utf-8-sig"))
        if placement().world > 1 and path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a pipe, which one of several ranks can read.", fix="Pass a file.")
        if path not in _piped:
            _piped[path] = path.read_text("utf-8-sig")
        return _parsed(_piped[path])
    except FileNotFoundError:
        raise UsageError(f"There is no settings file {path}.") from None
    except OSError as error:
        fault = path_error(error, path, access="read")
        raise UsageError(fault.what, fix=fault.fix) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}.") from None


def piped(path: Path) -> str | None:
    """What a settings file says that is a pipe, which only one process can read; None: it is a file.

    Raises:
        UsageError: as `read_toml`.
    """
    if path.is_file():
        return None
    read_toml(path)
    return _piped[path]


def portable(value: Any) -> Any:
    """Plain values for TOML, which is UTF-8: a path that is not becomes a table with its bytes in percent-encoding."""
    if isinstance(value, Mapping):
        return {name: portable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [portable(one) for one in value]
    if isinstance(value, str) and not is_utf8(value):
        return {_ENCODED: quote(os.fsencode(value))}
    return value


def _parsed(text: str) -> Tree:
    return {name: _restored(value) for name, value in tomllib.loads(text).items()}


def _restored(value: Any) -> Any:
    """The reverse of `portable`; a NUL, which neither a path nor a name can contain, is a ValueError."""
    if isinstance(value, list):
        return [_restored(one) for one in value]
    if isinstance(value, dict) and value.keys() == {_ENCODED} and isinstance(value[_ENCODED], str):
        value = os.fsdecode(unquote_to_bytes(value[_ENCODED]))
    if isinstance(value, dict):
        return {name: _restored(one) for name, one in value.items()}
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"the value {value!r} contains a NUL character")
    return value


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
