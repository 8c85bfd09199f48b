"""File names of exported images: those that other programs expect, never outside of the folder."""

from __future__ import annotations

from typing import Any

import pytest

from copgen.pairs.exports import folder_names, named, roles, tree_names
from copgen.runtime.errors import DataError, UsageError
from tests.pairs import folders

PLAN = folders.plan()
WNIDS = ["n01440764", "n01443537"]


@pytest.mark.parametrize(
    ("metadata", "classes", "name"),
    [
        ({"class": 1}, [], "0001"),
        ({"class": 1}, WNIDS, "n01443537"),
        ({"class": "n02"}, WNIDS, "n02"),
        ({"instance": 7}, WNIDS, "instance-000007"),
        ({"class": None}, [], None),
        ({"d": 0.2}, WNIDS, None),
    ],
)
def test_a_folder_is_named_by_class_or_instance(metadata: dict[str, Any], classes: list[str], name: str) -> None:
    assert named(metadata, classes) == name


@pytest.mark.parametrize(
    "name", ["../x", "/etc", "a/b", "", ".", "..", ".hidden", "a\0b", "a\n", "x" * 101, 1.5, True, -1, [1], {"a": 1}]
)
def test_a_class_that_leads_elsewhere_is_refused(name: object) -> None:
    with pytest.raises(DataError, match="not a valid folder name"):
        named({"class": name}, [])


def test_more_classes_than_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"class 2\b.* 2 class names"):
        named({"class": 2}, WNIDS)


def test_image_folder_has_a_folder_for_each_class() -> None:
    assert folder_names(PLAN, 5, {"class": 0}, WNIDS) == [
        "n01440764/000000005.anchor.png",
        "n01440764/000000005.positive.png",
    ]
    assert folder_names(folders.plan(positives=2), 5, {}, []) == [
        "all/000000005.anchor.png",
        "all/000000005.positive.png",
        "all/000000005.positive-1.png",
    ]


@pytest.mark.parametrize(
    ("index", "metadata", "stem"),
    [
        (5, {"class": 1}, "train/n01443537/seed0001_sample00005"),
        (5, {}, "train/n01440764/seed0000_sample00005"),
        (1300, {}, "train/n01443537/seed0001_sample00000"),
        (2601, {}, "train/0002/seed0002_sample00001"),
        (5, {"class": "n7", "file": "seed0003_sample00009"}, "train/n7/seed0003_sample00009"),
        (5, {"class": "n7", "file": "../seed0003_sample00009"}, "train/n7/seed0000_sample00005"),
        (5, {"instance": 12}, "train/instance-000012/seed0012_sample00005"),
    ],
)
def test_the_authors_tree_has_seed_and_sample(index: int, metadata: dict[str, Any], stem: str) -> None:
    assert tree_names("cop-gen", PLAN, index, metadata, WNIDS) == [f"{stem}_anchor.png", f"{stem}_neighbor.png"]
    assert tree_names("genrep", PLAN, index, metadata, WNIDS) == [f"{stem}_anchor.png", f"{stem}_neighbor_0.png"]
    several = tree_names("genrep", folders.plan(positives=2), index, metadata, WNIDS)
    assert several == [f"{stem}_anchor.png", f"{stem}_neighbor_0.png", f"{stem}_neighbor_1.png"]


def test_the_authors_code_takes_one_positive() -> None:
    with pytest.raises(UsageError, match="--to genrep"):
        roles("cop-gen", folders.plan(positives=2))


def test_names_always_end_in_png_as_the_readers_look_for_that() -> None:
    plan = folders.plan(image_format="jpg", quality=90)
    assert all(name.endswith(".png") for form in ("genrep", "cop-gen") for name in tree_names(form, plan, 5, {}, []))
