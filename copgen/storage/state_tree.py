"""Converts a tree of dictionaries and lists with tensors as leaves to JSON that refers to named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def pack(tree: Any, tensors: dict[str, Tensor], prefix: str = "") -> Any:
    """Move the tensors of a tree into `tensors`, and return the tree as JSON-able values that refer to them."""
    if isinstance(tree, Tensor):
        assert prefix not in tensors, prefix
        tensors[prefix] = tree
        return {"tensor": prefix}
    if isinstance(tree, Mapping):
        # Optimizer states have integer keys, which JSON would turn into strings.
        return {"items": [[key, pack(value, tensors, f"{prefix}/{key}")] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return {"list": [pack(value, tensors, f"{prefix}/{i}") for i, value in enumerate(tree)]}
    assert tree is None or isinstance(tree, bool | int | float | str), type(tree)
    return tree


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`."""
    if not isinstance(packed, dict):
        return packed
    if "tensor" in packed:
        return tensors[packed["tensor"]]
    if "items" in packed:
        return {key: unpack(value, tensors) for key, value in packed["items"]}
    return [unpack(value, tensors) for value in packed["list"]]
