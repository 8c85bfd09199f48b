"""Values of documents that may hold anything where a number or a table is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(tree: Mapping[str, Any], *names: str) -> int | float | None:
    """The finite number that the names lead to; None if there is none."""
    found: Any = tree
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    is_one = isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e300
    return found if is_one else None


def table(tree: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The table that the names lead to; empty if there is none."""
    found: Any = tree
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def numbers(tree: Mapping[str, Any], *names: str) -> list[float]:
    """The list of numbers that the names lead to; empty if it is not one."""
    found = table(tree, *names[:-1]).get(names[-1])
    if not isinstance(found, list) or not all(number({"": one}, "") is not None for one in found):
        return []
    return [float(one) for one in found]
