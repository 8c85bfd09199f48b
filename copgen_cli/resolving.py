"""What a command needs to know before the settings are resolved, and options of which one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import UsageError


def said(table: dict[str, Any], name: str, default: str | None = None) -> str | None:
    """A setting of unchecked values; one of a wrong type is not said, and refused later."""
    value = table.get(name, default)
    return str(value) if isinstance(value, (str, Path)) else default


def recipe_of(generator: str) -> str:
    """The recipe that belongs to a generator.

    Raises:
        UsageError: no such generator; the error gives the nearest known one.
    """
    from copgen.generators import entry  # imports torch

    return entry(generator).recipe


def refuse_both(**given: object) -> None:
    """Refuse options that exclude each other; names as in Python, None for an option that was not given."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} cannot both be given.", fix="Give one of them.")
