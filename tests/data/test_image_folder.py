"""Folders of images: the order and labels of torchvision, splits, folders without classes, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchvision.datasets import ImageFolder

from copgen.data import image_folder
from copgen.data.image_files import ImageFiles
from copgen.data.image_folder import open_folder
from copgen.data.splits import SPLITS
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from tests.data import made


def names(source: ImageFiles) -> list[str]:
    return [str(source.path(k).relative_to(source.root)) for k in range(len(source))]


def test_order_and_labels_are_those_of_torchvision(tmp_path: Path) -> None:
    for name in (
        "b/2.png",
        "b/10.png",
        "b/old/x.PNG",
        "b/old/deep/1.png",
        "b/a.jpeg",
        "b/zz/1.png",
        "a/z.png",
        "a/A.png",
    ):
        made.files(tmp_path, {name: made.image(0)})
    made.files(tmp_path, {"b/notes.txt": b"", "README.md": b""})
    theirs = ImageFolder(str(tmp_path))
    ours = open_folder(tmp_path, "train+validation")
    assert [str(ours.path(k)) for k in range(len(ours))] == [path for path, _ in theirs.samples]
    assert ours.labels is not None
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes


def test_splits_that_are_opened_together_list_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.class_folders(tmp_path / "train")
    made.class_folders(tmp_path / "val")
    listed: list[Path] = []
    original = image_folder.images_below

    def noted(folder: Path) -> Iterator[tuple[str, int]]:
        listed.append(folder)
        return original(folder)

    monkeypatch.setattr(image_folder, "images_below", noted)
    apart = [open_folder(tmp_path, split) for split in SPLITS]
    twice, listed[:] = len(listed), []
    with image_folder.listed_once():
        together = [open_folder(tmp_path, split) for split in SPLITS]
    assert len(set(listed)) == len(listed) < twice
    for one, other in zip(together, apart, strict=True):
        assert (names(one), one.inputs, one.labels.tolist()) == (names(other), other.inputs, other.labels.tolist())  # type: ignore[union-attr]
    made.files(tmp_path, {"val/cat/new.png": made.image(9)})
    assert "val/cat/new.png" in names(open_folder(tmp_path, "test"))


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    made.class_folders(tmp_path)
    made.files(tmp_path, {".cache/1.png": b"", "cat/._1.png": b"", "dog/.ipynb_checkpoints/1.png": b""})
    source = open_folder(tmp_path, "train+validation")
    assert names(source) == ["cat/00.png", "cat/01.png", "dog/00.png", "dog/01.png"]


def test_the_files_come_as_they_lie(tmp_path: Path) -> None:
    source = open_folder(made.class_folders(tmp_path), "train")
    assert source.encoded(3, 0) == (tmp_path / "dog/01.png").read_bytes()
    assert source.where(3, 0) == str(tmp_path / "dog/01.png")
    assert source.columns(range(7, 10), 2).tolist() == [[0, 0]] * 3
    assert (source.size, source.channels) == (None, 3)


def test_images_without_classes(tmp_path: Path) -> None:
    made.files(tmp_path, {f"{k}.png": made.image(k, channels=1) for k in range(12)})
    source = open_folder(tmp_path, "train")
    assert (source.labels, source.classes, source.channels, len(source)) == (None, (), 1, 11)
    assert names(open_folder(tmp_path, "validation")) == ["2.png"]  # the fifth by name: 0 1 10 11 2
    with pytest.raises(UsageError, match="no test split"):
        open_folder(tmp_path, "test")


def test_one_image_in_colour_makes_a_folder_colour(tmp_path: Path) -> None:
    made.files(tmp_path, {f"{k}.png": made.image(k, channels=1) for k in range(5)} | {"9.png": made.image(9)})
    assert open_folder(tmp_path, "train+validation").channels == 3
    assert open_folder(tmp_path, "train+validation", channels=1).channels == 1


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_val_is_the_test_split_where_there_is_no_other(tmp_path: Path, val: str) -> None:
    made.class_folders(tmp_path / "train", count=10)
    made.class_folders(tmp_path / val, count=3)
    sizes = {split: len(open_folder(tmp_path, split)) for split in ("train", "validation", "test", "train+validation")}
    assert sizes == {"train": 18, "validation": 2, "test": 6, "train+validation": 20}
    assert all(name.startswith(f"{val}/") for name in names(open_folder(tmp_path, "test")))


def test_three_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("val", 3), ("test", 2)):
        made.class_folders(tmp_path / part, count=count)
    sizes = {split: len(open_folder(tmp_path, split)) for split in ("train", "validation", "test", "train+validation")}
    assert sizes == {"train": 20, "validation": 6, "test": 4, "train+validation": 26}
    both = open_folder(tmp_path, "train+validation")
    assert both.labels is not None
    assert both.labels.bincount().tolist() == [13, 13]
    assert both.encoded(25, 0) == (tmp_path / "val/dog/02.png").read_bytes()


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    source = open_folder(made.class_folders(tmp_path, classes=("bus", "train")), "train")
    assert source.classes == ("bus", "train")


def test_the_labels_of_the_test_split_are_those_of_training(tmp_path: Path) -> None:
    made.class_folders(tmp_path / "train", classes=("a", "b", "c"))
    made.class_folders(tmp_path / "val", classes=("c",))
    labels = open_folder(tmp_path, "test").labels
    assert labels is not None
    assert labels.tolist() == [2, 2]


def test_names_need_not_be_text(tmp_path: Path) -> None:
    (tmp_path / "ä").mkdir()
    name = os.fsencode(tmp_path / "ä") + b"/\xff.png"
    with open(name, "wb") as stream:
        stream.write(made.image(0))
    assert open_folder(tmp_path, "train").encoded(0, 0) == made.image(0)


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    made.class_folders(tmp_path)
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    (tmp_path / "dog" / "more").symlink_to(tmp_path / "cat")
    assert len(open_folder(tmp_path, "train")) == 6


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    made.class_folders(tmp_path)
    (tmp_path / "cat" / "09.png").symlink_to("/unmounted/09.png")
    source = open_folder(tmp_path, "train", channels=3)
    assert len(source) == 5
    with pytest.raises(DataError, match=r"cat/09\.png"):
        source.encoded([source.where(k)[-6:] for k in range(5)].index("09.png"))
    (tmp_path / "owl").symlink_to("/unmounted/owl")
    with pytest.raises(DataError, match="owl is a link to /unmounted/owl"):
        open_folder(tmp_path, "train")


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    made.class_folders(tmp_path)
    (tmp_path / "owl").symlink_to("owl")
    with pytest.raises(EnvironmentFault, match="owl cannot be read"):
        open_folder(tmp_path, "train")


def test_another_size_or_name_changes_the_hash(tmp_path: Path) -> None:
    hashes = [open_folder(made.class_folders(tmp_path), "train").inputs]
    (tmp_path / "cat/00.png").write_bytes(b"other")
    hashes.append(open_folder(tmp_path, "train", channels=3).inputs)
    (tmp_path / "cat/00.png").rename(tmp_path / "cat/02.png")
    hashes.append(open_folder(tmp_path, "train", channels=3).inputs)
    assert len({str(one) for one in hashes}) == 3


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ({}, "no images"),
        ({"notes.txt": b""}, "no images"),
        ({"cat/1.png": b"x", "dog/notes.txt": b""}, "dog"),
        ({"train/cat/1.png": b"x", "val/dog/1.png": b"x"}, "dog"),
        ({"train/cat/1.png": b"x", "val/cat/1.png": b"x", "valid/cat/1.png": b"x"}, "valid"),
    ],
    ids=["empty", "other files", "a class without images", "a class for testing only", "two validations"],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, layout: dict[str, bytes], says: str) -> None:
    made.files(tmp_path, layout)
    with pytest.raises(DataError, match=says):
        open_folder(tmp_path, "test" if "train/cat/1.png" in layout else "train")


def test_a_file_that_is_removed_is_named(tmp_path: Path) -> None:
    source = open_folder(made.class_folders(tmp_path), "train")
    source.path(0).unlink()
    with pytest.raises(DataError, match=r"cat/00\.png"):
        source.encoded(0, 0)


def test_a_million_names_take_little_memory(tmp_path: Path) -> None:
    from copgen.data.packed_names import PackedNames

    packed = PackedNames(f"n01440764/n01440764_{k:06d}.JPEG" for k in range(100_000))
    assert packed[54_321] == "n01440764/n01440764_054321.JPEG"
    assert packed.select(torch.tensor([5, 3]))[0].endswith("000005.JPEG")
    held = sum(len(value) if isinstance(value, bytes) else value.nbytes for value in vars(packed).values())
    assert held < 100_000 * 48
