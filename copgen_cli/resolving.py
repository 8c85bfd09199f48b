"""What a command looks up before it resolves its settings, and mutually exclusive options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import UsageError


def text_of(table: dict[str, Any], name: str, default: str | None = None) -> str | None:
    """A setting of an unchecked table; one of a wrong type counts as unset, and is refused later."""
    value = table.get(name, default)
    return str(value) if isinstance(value, (str, Path)) else default


def recipe_of(generator: str) -> str:
    """The recipe of a generator.

    Raises:
        UsageError: unknown generator; the error suggests the nearest name.
    """
    from copgen.generators import entry  # imports torch

    return entry(generator).recipe


def refuse_both(**given: object) -> None:
    """Refuse mutually exclusive options, by their Python names; None is an option that was not given."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} cannot both be given.", fix="Pass only one of them.")
