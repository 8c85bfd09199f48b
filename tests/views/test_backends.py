"""A part that is added to the policies cannot be forgotten by a backend."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest

from copgen.views import augmentation, dali, in_one_pass, on_pil
from copgen.views.policies import Policy

BACKENDS = {"torch": augmentation.PARTS, "one pass": in_one_pass.PARTS, "dali": dali.PARTS, "PIL": on_pil.PARTS}


@pytest.mark.parametrize("name", [*BACKENDS])
def test_a_backend_applies_or_refuses_every_part_of_a_policy(name: str) -> None:
    known: AbstractSet[str] = BACKENDS[name]
    assert known == set(Policy.model_fields)
