"""Names of a package that are imported when they are asked for, because what defines them imports torch.

`import torch` takes two seconds and half a gigabyte; what only describes a run does without.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def attribute(package: str, homes: Mapping[str, str], name: str) -> Any:
    """What a package's `__getattr__` gives: `name` from the module of the package that `homes` names for it.

    Raises:
        AttributeError: no such name.
    """
    if name not in homes:
        raise AttributeError(f"module '{package}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
