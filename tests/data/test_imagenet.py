"""ImageNet-1K and ImageNet-100 from their trees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copgen.data.datasets import open_dataset
from copgen.data.image_files import ImageFiles
from copgen.data.imagenet import imagenet100_classes, open_imagenet
from copgen.runtime.errors import DataError
from tests.data import made
from tests.shared_data import shared

THOUSAND = tuple(f"n{k:08d}" for k in range(1_000))
IMAGE = made.image(0)


def tree(root: Path, classes: tuple[str, ...], *, train: int = 1, val: int = 1) -> Path:
    for part, count in (("train", train), ("val", val)):
        made.files(root, {f"{part}/{name}/{name}_{k}.JPEG": IMAGE for name in classes for k in range(count)})
    return root


def test_the_hundred_classes_are_those_of_the_authors() -> None:
    index = json.loads(shared("data/cop-gen/imagenet100_class_index.json").read_text())
    assert list(imagenet100_classes()) == [wnid for wnid, _ in (index[key] for key in sorted(index, key=int))]


def test_there_are_a_hundred_sorted_classes() -> None:
    assert len(set(imagenet100_classes())) == 100
    assert list(imagenet100_classes()) == sorted(imagenet100_classes())


def test_all_classes_by_their_identifiers(tmp_path: Path) -> None:
    tree(tmp_path / "imagenet", THOUSAND)
    train, test = (open_dataset("imagenet", split, root=tmp_path) for split in ("train", "test"))
    assert train.labels is not None
    assert test.labels is not None
    assert (train.channels, train.classes, len(test)) == (3, THOUSAND, 1_000)
    assert train.labels.tolist() == test.labels.tolist() == list(range(1_000))


def test_a_hundred_of_all_classes_or_a_tree_of_their_own(tmp_path: Path) -> None:
    mixed = tuple(sorted({*imagenet100_classes(), "n00000001", "n99999999"}))
    tree(tmp_path / "a" / "imagenet", mixed, train=5)
    tree(tmp_path / "b" / "imagenet100", imagenet100_classes(), train=5)
    for root in (tmp_path / "a", tmp_path / "b", tmp_path / "b" / "imagenet100"):
        source = open_dataset("imagenet100", "train", root=root)
        assert (len(source), source.classes) == (400, imagenet100_classes())
        assert source.labels is not None
        assert source.labels.bincount().tolist() == [4] * 100
        assert len(open_dataset("imagenet100", "validation", root=root)) == 100
        assert len(open_dataset("imagenet100", "test", root=root)) == 100


def test_other_classes_are_refused_with_their_names(tmp_path: Path) -> None:
    tree(tmp_path / "imagenet100", (*imagenet100_classes()[:-1], "n99999999"))
    with pytest.raises(DataError, match=imagenet100_classes()[-1]):
        open_dataset("imagenet100", "train", root=tmp_path)
    with pytest.raises(DataError, match="100 classes; ImageNet-1K has 1,000"):
        open_dataset("imagenet", "train", root=tmp_path / "imagenet100")
    assert len(open_dataset(tmp_path / "imagenet100", "train").classes) == 100


def kaggle(root: Path) -> Path:
    lines = ["ImageId,PredictionString"]
    for k, name in enumerate(reversed(imagenet100_classes())):
        made.files(root, {f"ILSVRC/Data/CLS-LOC/train/{name}/{k}.JPEG": IMAGE})
        made.files(root, {f"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_{k:08d}.JPEG": IMAGE})
        lines.append(f"ILSVRC2012_val_{k:08d},{name} 85 1 499 272 {name} 1 1 9 9 ")
    (root / "LOC_val_solution.csv").write_text("\n".join(lines))
    return root


def test_the_archive_of_kaggle(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    test = open_dataset("imagenet100", "test", root=root)
    assert test.labels is not None
    assert isinstance(test, ImageFiles)
    assert test.labels.tolist() == list(range(100))
    assert test.where(0, 0).endswith("val/ILSVRC2012_val_00000099.JPEG")
    (root / "LOC_val_solution.csv").unlink()
    with pytest.raises(DataError, match=r"LOC_val_solution\.csv"):
        open_dataset("imagenet100", "test", root=root)


@pytest.mark.parametrize("lost", ["train/n00000005/n00000005_0.JPEG", "val/n00000005/n00000005_0.JPEG"])
def test_a_class_without_images_is_named(tmp_path: Path, lost: str) -> None:
    classes = THOUSAND[:10]
    (tree(tmp_path, classes) / lost).unlink()
    with pytest.raises(DataError, match="n00000005"):
        open_imagenet(tmp_path, "test" if lost.startswith("val") else "train", only=classes)


def test_a_class_missing_in_val_is_named(tmp_path: Path) -> None:
    tree(tmp_path, THOUSAND[:4])
    (tmp_path / "val/n00000002/n00000002_0.JPEG").unlink()
    (tmp_path / "val/n00000002").rmdir()
    with pytest.raises(DataError, match="n00000002"):
        open_imagenet(tmp_path, "test", only=THOUSAND[:4])


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    tree(tmp_path, imagenet100_classes(), val=0)
    made.files(tmp_path, {"val/ILSVRC2012_val_00000001.JPEG": IMAGE, "LOC_val_solution.csv": b'"' + b"a" * 200_000})
    with pytest.raises(DataError, match="LOC_val_solution"):
        open_dataset("imagenet100", "test", root=tmp_path)
