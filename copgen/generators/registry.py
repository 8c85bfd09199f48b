"""The generators copgen knows by name, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from copgen.generators.protocol import Generator
from copgen.runtime.errors import unknown


@dataclass(frozen=True)
class Entry:
    """A registered generator: a line about it, its recipe's name, and the loader of a weights file."""

    about: str
    recipe: str
    load: Callable[[Path], Generator]
    embedded: str | None


def _load_digits(path: Path) -> Generator:
    from copgen.generators.residual_flow.generator import load_flow

    return load_flow(path, name="digits")


_ENTRIES = {
    "digits": Entry(
        about="Residual Flow on scikit-learn's 8x8 digits; the weights come with copgen",
        recipe="digits",
        load=_load_digits,
        embedded="digits.safetensors",
    ),
}


def names() -> list[str]:
    """The known names, sorted."""
    return sorted(_ENTRIES)


def entry(name: str) -> Entry:
    """The registry entry of a generator.

    Raises:
        UsageError: unknown name; the error gives the nearest known one.
    """
    if name not in _ENTRIES:
        raise unknown("generator", name, names())
    return _ENTRIES[name]


def embedded_weights(name: str) -> Path | None:
    """The weights file that comes with copgen, or None."""
    file = entry(name).embedded
    return Path(str(resources.files("copgen") / "generators" / "weights" / file)) if file else None


def load(name: str, *, weights: str | Path | None = None, device: str | torch.device = "cpu") -> Generator:
    """The generator `name`, frozen and in evaluation mode.

    Args:
        name: a registered name, such as 'digits'.
        weights: a weights file; None takes the one that comes with copgen.
        device: where it runs.

    Raises:
        UsageError: unknown name.
        DataError: the weights file is missing, truncated or foreign.
    """
    known = entry(name)
    path = Path(weights) if weights is not None else embedded_weights(name)
    assert path is not None
    return known.load(path).to(device)
