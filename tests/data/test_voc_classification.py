"""VOC's classification task: what is read from its folders, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from copgen.data.voc_classification import find_voc07, is_voc, open_voc_classification
from copgen.runtime.errors import DataError
from tests.stages.eval import voc


@pytest.fixture
def year(tmp_path: Path) -> Path:
    return voc.devkit(tmp_path / "VOCdevkit", trainval=12, test=6) / "VOC2007"


@pytest.mark.parametrize("place", ["", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_it_is_found_where_people_put_it(place: str, year: Path, tmp_path: Path) -> None:
    assert is_voc(tmp_path / place)
    assert find_voc07(tmp_path / place) == year
    assert find_voc07("voc07", root=tmp_path) == year
    assert not is_voc(year / "JPEGImages")


def test_labels_and_images_are_those_of_the_lists(year: Path) -> None:
    found = open_voc_classification(year, "trainval")
    assert found.classes == voc.CLASSES
    assert found.labels.numpy().tolist() == voc.labels(12, 0).tolist()
    assert [found.images.path(k).name for k in (0, 11)] == ["000000.jpg", "000011.jpg"]
    before = found.images.inputs
    path = year / "ImageSets/Main/cat_trainval.txt"
    path.write_text(path.read_text().replace("000003 ", "000003  "))
    again = open_voc_classification(year, "trainval")
    assert again.labels.equal(found.labels)
    assert again.images.inputs != before


def _drop_image(year: Path) -> str:
    (year / "JPEGImages/000004.jpg").unlink()
    return "000004.jpg"


def _label(year: Path) -> str:
    path = year / "ImageSets/Main/dog_trainval.txt"
    path.write_text(re.sub("(?m)^000002 .*$", "000002 2", path.read_text()))
    return "line 3: '000002 2'"


def _other_images(year: Path) -> str:
    path = year / "ImageSets/Main/owl_trainval.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    return "owl_trainval.txt"


def _empty(year: Path) -> str:
    (year / "ImageSets/Main/cat_trainval.txt").write_text("\n")
    return "cat_trainval.txt is empty"


def _no_lists(year: Path) -> str:
    for path in (year / "ImageSets/Main").glob("*_trainval.txt"):
        path.unlink()
    return "cat_trainval.txt"


def _binary(year: Path) -> str:
    (year / "ImageSets/Main/cat_trainval.txt").write_bytes(b"\xff\xfe\x00")
    return "cat_trainval.txt"


def _path(year: Path) -> str:
    path = year / "ImageSets/Main/cat_trainval.txt"
    path.write_text("../../secret 1\n")
    return "secret"


@pytest.mark.parametrize("damage", [_drop_image, _label, _other_images, _empty, _no_lists, _binary, _path])
def test_damage_is_named(damage: Callable[[Path], str], year: Path) -> None:
    named = damage(year)
    with pytest.raises(DataError, match=re.escape(named)) as caught:
        open_voc_classification(year, "trainval")
    assert caught.value.fix


def test_where_there_is_none(tmp_path: Path) -> None:
    for dataset, root in (("voc07", tmp_path), (str(tmp_path), None)):
        with pytest.raises(DataError, match=re.escape(str(tmp_path))):
            find_voc07(dataset, root=root)
