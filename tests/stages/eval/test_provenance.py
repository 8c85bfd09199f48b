"""The hashes in results.json that lead back to navigator and generator."""

from __future__ import annotations

from typing import Any

import pytest

from copgen.stages.eval.provenance import hashes

PAIRS = {"plan": "p", "generator": {"sha256": "g"}, "transform": {"name": "optimal", "sha256": "n"}}
NEAREST = {"plan": "p", "generator": {"sha256": "g"}, "transform": {"name": "nearest", "sha256": "f"}}
WALKED = {"plan": "p", "generator": {"sha256": "g"}, "transform": {"name": "steering", "sha256": "w"}}


@pytest.mark.parametrize(
    ("made_by", "found"),
    [
        ({"pairs": PAIRS, "inputs": {"pairs": "p"}}, {"pairs": "p", "navigator": "n", "generator": "g"}),
        ({"pairs": WALKED}, {"pairs": "p", "walk": "w", "generator": "g"}),
        ({"pairs": NEAREST}, {"pairs": "p", "features": "f", "generator": "g"}),
        ({"inputs": {"images": "i"}}, {"data images": "i"}),
        ({"source": {"file": "a.pth", "sha256": "s"}}, {"source": "s"}),
        ({"pairs": "pairs/", "inputs": 3}, {}),
        ({}, {}),
    ],
)
def test_hashes(made_by: dict[str, Any], found: dict[str, str]) -> None:
    assert hashes("e", made_by) == {"encoder": "e", **found}
