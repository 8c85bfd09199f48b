"""Stand-ins for the classes and functions that a foreign pickle names: labels and bags of attributes, all inert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch import Tensor


@dataclass(frozen=True)
class Global:
    """The name of a class or function; it was never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Opaque:
    """An object of a class that is not here: what its pickle gave it as attributes and as items."""

    kind: Global
    state: dict[str, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<inert {self.kind}>"


def is_module(value: object) -> TypeGuard[Opaque]:
    """Whether a value stands for a pickled `torch.nn.Module`."""
    return isinstance(value, Opaque) and isinstance(value.state.get("_modules"), dict)


def submodules(module: Opaque, prefix: str = "") -> Iterator[tuple[str, Opaque]]:
    """(dotted name, module) of a pickled module and all below it, in the order of `named_modules`."""
    waiting, seen = [(prefix, module)], {id(module)}
    while waiting:
        path, one = waiting.pop()
        yield path, one
        below = [(f"{path}.{name}" if path else str(name), child) for name, child in one.state["_modules"].items()]
        for name, child in reversed(below):
            if is_module(child) and id(child) not in seen:
                seen.add(id(child))
                waiting.append((name, child))


def module_tensors(module: Opaque) -> dict[str, Tensor]:
    """The parameters and buffers of a pickled module by their state-dict names."""
    found: dict[str, Tensor] = {}
    for path, one in submodules(module):
        for table in ("_parameters", "_buffers"):
            own = one.state.get(table)
            for name, value in own.items() if isinstance(own, dict) else ():
                if isinstance(value, torch.Tensor):
                    found[f"{path}.{name}" if path else str(name)] = value
    return found
