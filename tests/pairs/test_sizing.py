"""The estimated size of a folder and its upper bound, compared with the actual size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from copgen import pairs
from copgen.pairs.sizing import expected_bytes, most_bytes
from tests.pairs import folders

FORMATS: list[dict[str, Any]] = [
    {"image_format": "png"},
    {"image_format": "jpg", "quality": 100},
    {"image_format": "webp", "quality": 100},
]


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: str(format["image_format"]))
@pytest.mark.parametrize(("count", "per_shard"), [(1, 10), (7, 3), (200, 64), (400, 1000)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 24, 20)], ids=str)
def test_the_expectation_is_near_and_the_bound_above(
    tmp_path: Path, format: dict[str, Any], count: int, per_shard: int, shape: tuple[int, int, int]
) -> None:
    plan = folders.plan(pairs=count, pairs_per_shard=per_shard, image_shape=shape, positives=2, **format)
    folders.write(tmp_path, plan)
    taken = sum(map(len, folders.files(tmp_path).values()))
    sample = [pairs.encode_pair(plan, folders.pair(plan, index)) for index in range(min(count, 16))]
    assert expected_bytes(plan, sample) == pytest.approx(taken, rel=0.03)
    assert most_bytes(plan) >= taken


def test_a_billion_pairs_are_a_matter_of_arithmetic() -> None:
    small, large = (folders.plan(pairs=count, pairs_per_shard=10_000) for count in (10**6, 10**9))
    sample = [pairs.encode_pair(small, folders.pair(small, index)) for index in range(4)]
    ratio = expected_bytes(large, sample) / expected_bytes(small, sample)
    assert ratio == pytest.approx(1000, rel=0.01)
    assert most_bytes(large) > expected_bytes(large, sample)
