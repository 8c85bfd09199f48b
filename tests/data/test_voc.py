"""PASCAL VOC from its folders: which images, which boxes, and what is wrong with a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from copgen.data.voc import VocImages, find_voc, open_voc
from copgen.data.voc_annotation import CLASSES, read_annotation
from copgen.runtime.errors import DataError
from tests.data import made, shapes
from tests.data.shapes import annotation

ONE = [("dog", (1, 1, 40, 30), False)]


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return shapes.devkit(tmp_path / "VOCdevkit", trainval=6, test=4)


def opened(folder: Path) -> VocImages:
    return open_voc((folder,), "train", classes=shapes.CLASSES)


def test_both_years_for_training_and_2007_for_testing(voc: Path) -> None:
    folders = find_voc(voc)
    train, test = (open_voc(getattr(folders, split), split, classes=shapes.CLASSES) for split in ("train", "test"))
    assert (len(train), len(test)) == (12, 4)
    assert {path.parts[-3] for path in train.files} == {"VOC2007", "VOC2012"}
    assert {path.parts[-3] for path in test.files} == {"VOC2007"}


@pytest.mark.parametrize("given", ["VOCdevkit", ".", None])
def test_the_places_of_the_development_kit(
    voc: Path, tmp_path: Path, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = find_voc(given, root=tmp_path if given is None else None)
    assert [folder.name for folder in (*folders.train, *folders.test)] == ["VOC2007", "VOC2012", "VOC2007"]


def test_a_single_year(voc: Path) -> None:
    folders = find_voc(voc / "VOC2007")
    assert [*folders.train, *folders.test] == [voc / "VOC2007"] * 2
    assert len(open_voc(folders.train, "train", classes=shapes.CLASSES)) == 6


def test_boxes_start_at_0_and_belong_to_their_images(voc: Path) -> None:
    images = open_voc((voc / "VOC2007", voc / "VOC2012"), "train", classes=shapes.CLASSES)
    for number in (0, 7):
        name = int(images.files[number].stem)
        height, width = images.sizes[number].tolist()
        _, objects = shapes.drawing(name, width=width, height=height)
        found = images.objects_of(number)
        assert found.box.tolist() == [[x1 - 1, y1 - 1, x2, y2] for _, (x1, y1, x2, y2), _ in objects]
        assert [shapes.CLASSES[label] for label in found.label] == [name for name, _, _ in objects]
        assert found.difficult.tolist() == [difficult for _, _, difficult in objects]
        pixels = images.pixels(number, 3)
        assert pixels.shape == (height, width, 3)
        x1, y1, x2, y2 = (int(v) for v in found.box[0])
        assert pixels[(y1 + y2) // 2, (x1 + x2) // 2].max() > 180  # the shape is there


def test_training_images_without_objects_are_left_out(voc: Path) -> None:
    folder = voc / "VOC2007"
    for name in ("000002", "500001"):
        (folder / f"Annotations/{name}.xml").write_bytes(annotation(64, 48, []))
    train, test = (
        open_voc((folder,), "train", classes=shapes.CLASSES),
        open_voc((folder,), "test", classes=shapes.CLASSES),
    )
    assert (len(train), len(test)) == (5, 4)
    assert [path.stem for path in train.files] == ["000000", "000001", "000003", "000004", "000005"]
    assert set(train.objects.image.tolist()) == set(range(5))
    assert len(test.objects_of(1)) == 0


def test_the_digest_is_of_annotations_and_images(voc: Path) -> None:
    before = opened(voc / "VOC2007").digest
    assert before == opened(voc / "VOC2007").digest
    path = voc / "VOC2007/Annotations/000003.xml"
    path.write_bytes(path.read_bytes().replace(b"<xmin>", b"<xmin>0"))
    assert opened(voc / "VOC2007").digest != before


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("Annotations/000004.xml", "Annotations/000004.xml"),
        ("JPEGImages/000004.jpg", "JPEGImages/000004.jpg"),
        ("ImageSets/Main/trainval.txt", "trainval.txt"),
    ],
)
def test_a_missing_file_is_named_with_its_archive(voc: Path, lost: str, named: str) -> None:
    (voc / "VOC2007" / lost).unlink()
    with pytest.raises(DataError, match=named) as caught:
        opened(voc / "VOC2007")
    assert "VOCtrainval_06-Nov-2007.tar" in caught.value.fix


@pytest.mark.parametrize("folder", ["Annotations", "JPEGImages", "ImageSets"])
def test_a_missing_folder_is_named(voc: Path, folder: str) -> None:
    shutil.rmtree(voc / "VOC2007" / folder)
    with pytest.raises(DataError, match=folder):
        opened(find_voc(voc / "VOC2007").train[0])


def test_a_devkit_without_2012(voc: Path) -> None:
    shutil.rmtree(voc / "VOC2012")
    with pytest.raises(DataError, match="VOC2012") as caught:
        find_voc(voc)
    assert str(voc / "VOC2007") in caught.value.fix


def test_no_voc_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no VOC in {tmp_path}"):
        find_voc(tmp_path)
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        find_voc(None, root=tmp_path)
    assert "--dataset" in caught.value.fix


@pytest.mark.parametrize(
    ("lines", "named"),
    [("", "empty"), ("000001\n000001\n", "000001"), ("../secret\n", "secret"), (b"\xff\xfe\x00", "trainval.txt")],
)
def test_a_damaged_list(voc: Path, lines: str | bytes, named: str) -> None:
    path = voc / "VOC2007/ImageSets/Main/trainval.txt"
    path.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    with pytest.raises(DataError, match=named):
        opened(voc / "VOC2007")


def test_a_list_with_a_byte_order_mark_and_windows_line_breaks(voc: Path) -> None:
    (voc / "VOC2007/ImageSets/Main/trainval.txt").write_bytes(b"\xef\xbb\xbf000001\r\n000002\r\n\r\n")
    assert [path.stem for path in opened(voc / "VOC2007").files] == ["000001", "000002"]


def test_an_image_of_another_size_than_its_annotation(voc: Path) -> None:
    images = opened(voc / "VOC2007")
    images.files[1].write_bytes(made.image(0, side=32, format="JPEG"))
    with pytest.raises(DataError, match="32 x 32 pixels; its annotation says 64 x 48"):
        images.pixels(1, 3)


def test_an_image_that_cannot_be_decoded(voc: Path) -> None:
    images = opened(voc / "VOC2007")
    os.truncate(images.files[1], 300)
    with pytest.raises(DataError, match=r"000001\.jpg"):
        images.pixels(1, 3)


def test_the_classes_of_voc() -> None:
    found = read_annotation(annotation(50, 40, ONE), "1.xml", CLASSES)
    assert (found.height, found.width, len(CLASSES)) == (40, 50, 20)
    assert found.objects.label.tolist() == [11]
    assert found.objects.box.tolist() == [[0, 0, 40, 30]]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((1, 1, 50, 40), (0, 0, 50, 40)),  # the whole image
        ((0, 0, 49, 39), (0, 0, 49, 39)),  # counted from 0
        ((1, 1, 51, 41), (0, 0, 50, 40)),  # one pixel too far
        ((7, 8, 7, 8), (6, 7, 7, 8)),  # a single pixel
    ],
)
def test_boxes_up_to_a_pixel_outside_are_clipped(box: shapes.Box, kept: shapes.Box) -> None:
    found = read_annotation(annotation(50, 40, [("dog", box, False)]), "1.xml", CLASSES)
    assert tuple(found.objects.box[0]) == kept


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((1, 1, 52, 40), "xmax 52.*outside the image of 50 x 40"),
        ((1, 1, 50, 42), "ymax 42.*outside"),
        ((-1, 1, 50, 40), "xmin -1.*outside"),
        ((20, 1, 10, 40), "empty"),
        ((51, 1, 51, 40), "empty"),
    ],
)
def test_boxes_outside_the_image_or_empty(box: shapes.Box, says: str) -> None:
    data = annotation(50, 40, [*ONE, ("cat", box, False)])
    with pytest.raises(DataError, match=rf"1\.xml: object 2 \(cat\).*{says}"):
        read_annotation(data, "1.xml", CLASSES)


def test_an_unknown_class_names_the_nearest_and_the_option() -> None:
    with pytest.raises(DataError, match=r"1\.xml: object 1 has the class 'aeroplan'") as caught:
        read_annotation(annotation(50, 40, [("aeroplan", (1, 1, 9, 9), False)]), "1.xml", CLASSES)
    assert "'aeroplane'" in caught.value.fix
    assert "--classes" in caught.value.fix


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (b"<annotation>", b"<annotations>", "1.xml"),
        (b"<size>", b"<siz>", "1.xml"),
        (b"<width>50</width>", b"", "no <width>"),
        (b"<width>50", b"<width>wide", "<width>wide"),
        (b"<width>50", b"<width>0", "0 x 40"),
        (b"<xmax>40</xmax>", b"", r"object 1 \(dog\) has no <xmax>"),
        (b"<xmax>40", b"<xmax>nan", "<xmax>nan"),
        (b"<difficult>0", b"<difficult>?", "<difficult>"),
        (b"<annotation>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>", "document type"),
        (b"<annotation>", b"<?xml version='1.0' encoding='none'?><annotation>", "1.xml"),
    ],
)
def test_damaged_annotations(before: bytes, after: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_annotation(annotation(50, 40, ONE).replace(before, after), "1.xml", CLASSES)


@pytest.mark.parametrize("data", [b"", b"\x00" * 40, b"<annotation>", b"<html></html>"])
def test_files_that_are_no_annotations(data: bytes) -> None:
    with pytest.raises(DataError, match=r"1\.xml"):
        read_annotation(data, "1.xml", CLASSES)


def test_difficult_may_be_missing() -> None:
    data = annotation(50, 40, ONE).replace(b"<difficult>0</difficult>", b"")
    assert read_annotation(data, "1.xml", CLASSES).objects.difficult.tolist() == [False]
    assert np.array_equal(read_annotation(annotation(50, 40, []), "1.xml", CLASSES).objects.box, np.zeros((0, 4)))
