"""From flags, config file and recipe to the settings of a stage, and from samples to updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import UsageError


def config_table(config: Path | None, stage: str) -> dict[str, Any]:
    """What a config file says of a stage, unchecked.

    Raises:
        UsageError: it is missing, not readable, or not TOML.
    """
    from copgen.runtime.settings import read_toml  # imports pydantic, which --help does without

    tree = read_toml(config) if config is not None else {}
    table = tree.get(stage)
    return table if isinstance(table, dict) else tree


def said(table: dict[str, Any], name: str, default: str | None = None) -> str | None:
    """A setting of `config_table` that is needed before the settings are resolved; one of a wrong type is not said."""
    value = table.get(name, default)
    return str(value) if isinstance(value, (str, Path)) else default


def recipe_of(generator: str) -> str:
    """The recipe that belongs to a generator.

    Raises:
        UsageError: no such generator; the error gives the nearest known one.
    """
    from copgen.generators import entry

    return entry(generator).recipe


def refuse_both(**given: object) -> None:
    """Refuse options of which only one can be meant; names as in Python, None for an option that was not given."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} cannot both be meant.", fix="Give one of them.")


def whole_updates(samples: int, batch: int) -> int:
    """How many whole batches there are in `samples`.

    Raises:
        UsageError: not one.
    """
    if samples < batch:
        raise UsageError(
            f"{samples:,} samples are less than one batch of {batch:,}.", fix="Raise --steps or lower --batch."
        )
    return samples // batch


def length(samples: int, batch: int) -> str:
    """The length of a run in both units: '20,000 samples = 156 updates of 128'."""
    updates = whole_updates(samples, batch)
    return f"{samples:,} samples = {updates:,} {'update' if updates == 1 else 'updates'} of {batch:,}"
