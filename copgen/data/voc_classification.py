"""The classification task of PASCAL VOC: which classes are in an image, from the folders of its development kit.

    VOC2007/ImageSets/Main/cat_trainval.txt      an image and its label on each line; also cat_test.txt
    VOC2007/JPEGImages/000005.jpg

The label is 1 if the image has the class, -1 if not, and 0 if all objects of the class are difficult.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from copgen.data.data_root import data_root, find
from copgen.data.image_files import ImageFiles
from copgen.data.voc import ARCHIVES, PLACES, SOURCE, YEARS
from copgen.runtime.environment import home_expanded
from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import path_errors

NAME = "voc07"
Set = Literal["trainval", "test"]
LABELS = {"1": 1, "-1": -1, "0": 0}


@dataclass(frozen=True)
class VocClassification:
    """The images of a set, and the classes in them.

    Attributes:
        images: in the order of the lists.
        labels: (N, C) int64: 1, -1, or 0 if difficult.
        classes: C names, sorted.
    """

    images: ImageFiles
    labels: Tensor
    classes: tuple[str, ...]


def is_voc(dataset: str | Path) -> bool:
    """Whether a dataset is VOC 2007 by its name, or a folder of VOC's development kit."""
    return str(dataset) == NAME or _year_in(Path(dataset).expanduser()) is not None


@path_errors()
def find_voc07(dataset: str | Path, *, root: Path | None = None) -> Path:
    """The folder of a year, with ImageSets and JPEGImages.

    Args:
        dataset: voc07, which is below the data root; or that folder, VOCdevkit, or a folder that contains it.
        root: the data root; None: COPGEN_DATA, else the user's cache.

    Raises:
        DataError: there is no VOC.
    """
    if str(dataset) == NAME:
        place = data_root(root)
        found = find(place, PLACES, lambda folder: _year_in(folder) is not None)
        year = None if found is None else _year_in(found)
        fix = f"Get it from {SOURCE}, and pass its folder VOCdevkit, or the folder that contains it with --data-root."
    else:
        place = home_expanded(str(dataset), "pass the whole path, or ./~ for a folder with this name")
        year, fix = _year_in(place), "Pass the folder VOCdevkit, or VOC2007 in it."
    if year is None:
        raise DataError(f"PASCAL VOC 2007 was not found in {place}.", fix=fix)
    return year


@path_errors()
def open_voc_classification(folder: Path, split: Set) -> VocClassification:
    """A set of VOC's classification task.

    Args:
        folder: of a year, as `find_voc07` returns it.
        split: trainval or test.

    Raises:
        DataError: no lists, a list that is empty, has another label than 1, -1 and 0, or other images than the
            others; an image that is missing. The error names file, line and value.
    """
    lists = folder / "ImageSets" / "Main"
    ending = f"_{split}.txt"
    found = sorted(name for name in os.listdir(lists) if name.endswith(ending) and not name.startswith("."))
    if not found:
        raise DataError(f"{lists} has no lists such as cat{ending}.", fix=_archive(folder, split))
    digest = hashlib.sha256()
    names: list[str] = []
    columns: list[list[int]] = []
    for name in found:
        path = lists / name
        data = path.read_bytes()
        digest.update(f"{name} {len(data)}\n".encode() + data)
        there, labels = _read(path, data)
        if columns and there != names:
            other = next((one for one, known in zip(there, names, strict=False) if one != known), "fewer or more")
            raise DataError(
                f"{path} lists other images than {lists / found[0]} ({other}).", fix=_archive(folder, split)
            )
        names = there
        columns.append(labels)
    files = [f"JPEGImages/{name}.jpg" for name in names]
    for file in files:
        try:
            digest.update(f"{file} {(folder / file).stat().st_size}\n".encode())
        except FileNotFoundError:
            raise DataError(f"{folder / file} is missing.", fix=_archive(folder, split)) from None
    classes = tuple(name.removesuffix(ending) for name in found)
    images = ImageFiles(folder, files, labels=None, classes=classes, digest=digest.hexdigest(), channels=3)
    return VocClassification(images, torch.from_numpy(np.array(columns, dtype=np.int64).T.copy()), classes)


def _read(path: Path, data: bytes) -> tuple[list[str], list[int]]:
    """The images and labels of a list."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text.", fix="Extract the archive again.") from None
    names, labels = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in LABELS or "/" in words[0]:
            raise DataError(
                f"{path}, line {number}: {line.strip()!r} is not the name of an image and 1, -1 or 0.",
                fix="Extract the archive again, or correct the file.",
            )
        names.append(words[0])
        labels.append(LABELS[words[1]])
    if not names:
        raise DataError(f"{path} is empty.", fix="Extract the archive again.")
    return names, labels


def _year_in(folder: Path) -> Path | None:
    """The folder of the year that a folder is or contains."""
    places = (folder, folder / YEARS[0], folder / "VOCdevkit" / YEARS[0])
    return next((place for place in places if (place / "ImageSets" / "Main").is_dir()), None)


def _archive(folder: Path, split: Set) -> str:
    """Where what is missing comes from."""
    archive = ARCHIVES.get((folder.name, split))
    if archive is None:
        return "Every class has a list of all images of the set, and every image is in JPEGImages."
    return f"Extract {archive} of {SOURCE} so that it completes {folder}."
