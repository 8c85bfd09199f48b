"""Lazy names of a package, imported on first use because their modules import torch.

`import torch` takes two seconds and half a gigabyte, which commands that only describe a run do not need. A package
also lists these names in a `TYPE_CHECKING` block, for type checkers and editors.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def names(
    package: str, homes: Mapping[str, Collection[str]], *, packages: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names are imported on first use.

    Args:
        package: its full name.
        homes: for each module, relative to the package, the names that it defines.
        packages: names that are sub-packages.

    Raises:
        AttributeError: by `__getattr__`, for an unknown name.
    """
    home_of = {name: home for home, defined in homes.items() for name in defined}

    def attribute(name: str) -> Any:
        if name in home_of:
            return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        if name in packages:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    def listing() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of, *packages})

    return attribute, listing
