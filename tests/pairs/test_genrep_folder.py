"""The authors' tree: every way of naming positives, the order of pairs, and errors that name the bad file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from copgen.pairs.foreign_images import image_bytes
from copgen.pairs.genrep_folder import read_tree
from copgen.runtime.errors import DataError, ExitCode
from tests.pairs.trees import picture, tree

ONE = "train/n01/seed0000_sample00001"


def test_pairs_come_in_the_order_of_class_seed_and_sample(tmp_path: Path) -> None:
    found = read_tree(tree(tmp_path, {"n02": 1, "n01": 11}))
    assert (found.pairs, found.files, found.ignored, found.shape) == (12, 24, 2, (3, 6, 5))
    assert list(found.classes) == ["n01", "n02"]
    assert found.classes["n01"][-1] == "seed0001_sample00010"
    assert list(found.stems(range(9, 12))) == [
        ("n01", "seed0001_sample00009"),
        ("n01", "seed0001_sample00010"),
        ("n02", "seed0000_sample00000"),
    ]
    assert list(found.stems(range(0))) == []
    names = [path.name for path in found.paths("n02", "seed0000_sample00000")]
    assert names == ["seed0000_sample00000_anchor.png", "seed0000_sample00000_neighbor.png"]


def test_numbers_of_any_length_are_sorted_as_numbers(tmp_path: Path) -> None:
    tree(tmp_path, {"n01": 1})
    for number in (100_000, 99_999):
        for role in ("anchor", "neighbor"):
            Image.fromarray(picture(0)).save(tmp_path / f"train/n01/seed0000_sample{number}_{role}.png")
    assert read_tree(tmp_path).classes["n01"][1:] == ["seed0000_sample99999", "seed0000_sample100000"]


@pytest.mark.parametrize(
    "positives",
    [("neighbor",), ("neighbor_0",), tuple(f"neighbor_{j}" for j in range(11)), tuple(f"1.0_{j}" for j in (1, 2, 10))],
    ids=["COP-Gen", "steered", "several steered", "Gaussian"],
)
def test_positives_are_in_the_order_of_their_numbers(tmp_path: Path, positives: tuple[str, ...]) -> None:
    found = read_tree(tree(tmp_path, {"n01": 2}, roles=("anchor", *reversed(positives))))
    assert found.roles == ("anchor", *positives)


def test_the_set_its_partition_and_one_class_are_all_trees(tmp_path: Path) -> None:
    tree(tmp_path / "set")
    assert read_tree(tmp_path / "set") == read_tree(tmp_path / "set/train")
    assert read_tree(tmp_path / "set/train/n02").classes == {"n02": ["seed0001_sample00000", "seed0001_sample00001"]}


def test_the_hash_is_of_names_and_sizes(tmp_path: Path) -> None:
    first = read_tree(tree(tmp_path / "one"))
    assert read_tree(shutil.copytree(tmp_path / "one", tmp_path / "two")).sha256 == first.sha256
    with open(tmp_path / f"two/{ONE}_anchor.png", "ab") as stream:
        stream.write(b"x")
    assert read_tree(tmp_path / "two").sha256 != first.sha256
    for role in ("anchor", "neighbor"):
        (tmp_path / f"one/{ONE}_{role}.png").unlink()
    assert read_tree(tmp_path / "one").sha256 != first.sha256


def test_stray_files_and_empty_folders_are_no_classes(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "train/index.html").write_text("x")
    (tmp_path / "train/empty").mkdir()
    found = read_tree(tmp_path)
    assert (list(found.classes), found.ignored) == (["n01", "n02"], 2)


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/seed0000_sample00000_anchor-checkpoint.png",
        ".ipynb_checkpoints/seed0000_sample00000_anchor.png",
        "n01/._seed0000_sample00000_anchor.png",
        "n01/._x.png",
        "n01/.DS_Store",
    ],
)
def test_hidden_files_and_folders_of_other_programs_are_left_out(tmp_path: Path, name: str) -> None:
    before = read_tree(tree(tmp_path))
    (tmp_path / "train" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "train" / name).write_bytes(b"\0\5\x16\7")
    found = read_tree(tmp_path)
    assert (found.classes, found.sha256) == (before.classes, before.sha256)
    (tmp_path / "train/n02").rename(tmp_path / "n02")
    assert list(read_tree(tmp_path / "n02").classes) == ["n02"]


def test_one_class_with_a_hidden_folder_is_a_tree(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "train/n01/.ipynb_checkpoints").mkdir()
    assert list(read_tree(tmp_path / "train/n01").classes) == ["n01"]


@pytest.mark.parametrize("end", ["jpg", "jpeg", "webp"])
def test_trees_of_other_formats_are_read(tmp_path: Path, end: str) -> None:
    found = read_tree(tree(tmp_path, end=end))
    assert (found.pairs, found.end, found.shape) == (5, end, (3, 6, 5))
    (tmp_path / "train/n01/preview.png").write_bytes(b"x")  # not of this tree
    assert read_tree(tmp_path).ignored == found.ignored + 1
    other = tmp_path / "train/n02/seed0001_sample00000_neighbor.png"
    other.write_bytes(b"x")
    with pytest.raises(DataError, match=re.escape(str(other))):
        read_tree(tmp_path)


def _remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _add(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"x")


def _save(name: str, mode: str) -> Callable[[Path], object]:
    return lambda folder: Image.new(mode, (5, 6)).save(folder / name)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no neighbour": (_remove(f"{ONE}_neighbor.png"), "seed0000_sample00001_neighbor.png is missing"),
    "no anchor": (_remove(f"{ONE}_anchor.png"), "seed0000_sample00001_anchor.png is missing"),
    "one more positive": (_add(f"{ONE}_neighbor_0.png"), "seed0000_sample00001_neighbor_0.png is a positive"),
    "another name": (_add("train/n01/cat.png"), "cat.png does not have a name"),
    "another role": (_add(f"{ONE}_friend.png"), "friend.png does not have a name"),
    "no image": (_add("train/n01/seed0000_sample00000_anchor.png"), "sample00000_anchor.png is not a PNG image"),
    "palette": (_save("train/n01/seed0000_sample00000_anchor.png", "P"), "anchor.png has mode P"),
    "nothing": (lambda folder: shutil.rmtree(folder / "train"), "contains no pairs"),
    "not there": (shutil.rmtree, "There is no folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_tree_is_refused_with_the_file(tmp_path: Path, name: str) -> None:
    folder = tree(tmp_path / "set")
    damage, message = BAD[name]
    damage(folder)
    with pytest.raises(DataError) as caught:
        read_tree(folder)
    assert message in caught.value.what
    assert caught.value.code is ExitCode.DATA


def test_only_anchors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"seed0000_sample00000_neighbor\.png is missing"):
        read_tree(tree(tmp_path, roles=("anchor",)))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with open(path, "wb") as stream:
        stream.truncate(10 * 2**30)
    with pytest.raises(DataError, match=r"has 10,737,418,240 bytes; at most 67,108,864 "):
        image_bytes(path)
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        image_bytes(tmp_path / "gone.png")
