"""The plan says what each shard holds, survives its file, and refuses to share a folder with another plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from copgen.pairs import Plan
from copgen.runtime.errors import DataError, UsageError
from tests.pairs import folders


@pytest.mark.parametrize(("pairs", "per_shard"), [(1, 1), (7, 3), (9, 3), (10, 100), (101, 10)])
def test_the_shards_cover_every_pair_once(pairs: int, per_shard: int) -> None:
    plan = folders.plan(pairs=pairs, pairs_per_shard=per_shard)
    ranges = [plan.shard_range(number) for number in range(plan.shards)]
    assert [index for indices in ranges for index in indices] == list(range(pairs))
    assert all(len(indices) == per_shard for indices in ranges[:-1])


@pytest.mark.parametrize("number", [-1, 3])
def test_there_is_no_shard_outside_the_plan(number: int) -> None:
    with pytest.raises(ValueError, match=r"is not in 0\.\.2"):
        folders.plan().shard_range(number)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = folders.plan(prior={"name": "normal", "settings": {"scale": 1.0, "threshold": 2, "kind": "a", "on": True}})
    plan.save(tmp_path)
    loaded = Plan.load(tmp_path)
    assert loaded == plan
    assert loaded.digest == plan.digest
    assert loaded.text() == (tmp_path / "plan.json").read_text()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"seed": 4}, [("seed", 3, 4)]),
        (
            {"prior": {"name": "normal", "settings": {"scale": 0.5}}, "batch": 1},
            [("batch", 2, 1), ("prior.settings.scale", 1.0, 0.5)],
        ),
        (
            {"transform": {"name": "none"}},
            [
                ("transform.name", "optimal", "none"),
                ("transform.settings.delta", 0.23, None),
                ("transform.sha256", "b" * 64, None),
            ],
        ),
    ],
)
def test_the_difference_names_each_field(change: dict[str, Any], expected: list[tuple[str, Any, Any]]) -> None:
    assert folders.plan().difference(folders.plan(**change)) == expected


def test_another_plan_in_the_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    folders.plan().save(tmp_path)
    folders.plan().save(tmp_path)
    with pytest.raises(UsageError, match=r"seed is 3, not 4\..*--overwrite"):
        folders.plan(seed=4).save(tmp_path)
    assert Plan.load(tmp_path) == folders.plan()


@pytest.mark.parametrize(
    "change",
    [
        {"pairs": 0},
        {"pairs_per_shard": 0},
        {"batch": 0},
        {"seed": -1},
        {"positives": 0},
        {"image_shape": (2, 8, 8)},
        {"image_shape": (1, 0, 8)},
        {"image_shape": (1, 8, 60_000)},
        {"image_format": "jpg"},
        {"rounding": "up"},
        {"prior": {"name": "normal", "settings": {"scale": float("nan")}}},
        {"generator": {"name": "digits", "sha256": "none"}},
        {"extra": 1},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        folders.plan(**change)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"format": 2}, "has format 2; this copgen reads up to 1.*Update"),
        ({"pairs": "many"}, "'pairs'"),
        ({"colour": "red"}, "'colour'"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_field(tmp_path: Path, edit: dict[str, Any], message: str) -> None:
    values = folders.plan().model_dump(mode="json") | edit
    (tmp_path / "plan.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=message):
        Plan.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, "\xff"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"plan\.json"):
        Plan.load(tmp_path)
