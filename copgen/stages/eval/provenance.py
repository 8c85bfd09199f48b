"""The hashes that lead from an encoder back to the generator whose images it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WEIGHTS_OF = {"steering": "walk", "nearest": "features"}  # what the hash of a transform is of; else a navigator


def hashes(sha256: str, made_by: Mapping[str, Any]) -> dict[str, str]:
    """sha256 by name: encoder, and what its file records of: pairs (their plan), navigator or walk, generator; or data.

    Args:
        sha256: of the encoder's file.
        made_by: as in its header; that of older and of foreign encoders records less.
    """
    pairs = table(made_by, "pairs")
    transform = table(pairs, "transform")
    kind = WEIGHTS_OF.get(str(transform.get("name")), "navigator")
    found = {
        "encoder": sha256,
        "pairs": pairs.get("plan"),
        kind: transform.get("sha256"),
        "generator": table(pairs, "generator").get("sha256"),
        "source": table(made_by, "source").get("sha256"),  # the file of a foreign encoder
    }
    if not pairs:
        found |= {f"data {name}": value for name, value in table(made_by, "inputs").items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def table(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table in a header; empty if there is none, or anything else in a foreign file."""
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}
