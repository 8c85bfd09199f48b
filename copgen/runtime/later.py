"""Names of a package that are imported when they are asked for, because what defines them imports torch.

`import torch` takes two seconds and half a gigabyte; what only describes a run does without. A package lists its names
for type checkers beside this, in a `TYPE_CHECKING` block, so that editors see what they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any


def attribute(package: str, homes: Mapping[str, str], name: str, *, packages: Collection[str] = ()) -> Any:
    """What a package's `__getattr__` gives: `name` from the module of the package that `homes` names for it.

    Args:
        package: its full name.
        homes: the module of each name, relative to the package.
        name: what is asked for.
        packages: names that are sub-packages themselves.

    Raises:
        AttributeError: no such name.
    """
    if name in packages:
        return importlib.import_module(f"{package}.{name}")
    if name not in homes:
        raise AttributeError(f"module '{package}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
