"""PASCAL VOC: photos with boxes of objects, from the folders of its development kit.

    VOCdevkit/VOC2007/ImageSets/Main/trainval.txt      names of images, one a line; also test.txt
    VOCdevkit/VOC2007/JPEGImages/000005.jpg
    VOCdevkit/VOC2007/Annotations/000005.xml
    VOCdevkit/VOC2012/...

The protocol "07+12" trains on trainval of both years and tests on test of 2007. A single year's folder trains on its
own trainval. Training images without objects are left out, as detectron2 does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from copgen.data.data_root import data_root, find
from copgen.data.decoding import decode
from copgen.data.objects import Array, Objects
from copgen.data.voc_annotation import CLASSES, read_annotation
from copgen.runtime.environment import home_expanded
from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import path_error, path_errors

VocSplit = Literal["train", "test"]
SETS: dict[VocSplit, str] = {"train": "trainval", "test": "test"}
YEARS = ("VOC2007", "VOC2012")
PLACES = ("VOCdevkit", "VOC/VOCdevkit", "voc/VOCdevkit", "VOC", "voc", "")  # below the data root
SOURCE = "http://host.robots.ox.ac.uk/pascal/VOC/"
ARCHIVES = {
    ("VOC2007", "trainval"): "VOCtrainval_06-Nov-2007.tar",
    ("VOC2007", "test"): "VOCtest_06-Nov-2007.tar",
    ("VOC2012", "trainval"): "VOCtrainval_11-May-2012.tar",
}


class VocFolders(NamedTuple):
    """The folders of years, such as VOC2007, that a split is made of."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


@dataclass(frozen=True)
class VocImages:
    """The images of a split.

    Attributes:
        files: of the images.
        sizes: (N, 2) int64, height and width, pixels.
        objects: with the numbers of these images.
        classes: names, in the order of the labels.
        digest: sha256 of the annotations, and of the names and sizes of the image files.
    """

    files: tuple[Path, ...]
    sizes: Array
    objects: Objects
    classes: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.files)

    def objects_of(self, image: int) -> Objects:
        """The objects of an image."""
        first, end = np.searchsorted(self.objects.image, (image, image + 1))
        return self.objects.select(np.arange(first, end))

    def pixels(self, image: int, channels: int) -> np.ndarray:
        """(H, W, channels) uint8.

        Raises:
            DataError: the file cannot be read or decoded, or its size is not that of the annotation.
        """
        path = self.files[image]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise path_error(error, path, access="read") from None
        pixels = decode(data, channels, str(path))
        there, known = tuple(pixels.shape[1:]), tuple(self.sizes[image].tolist())
        if there != known:
            raise DataError(
                f"{path} has {there[1]} x {there[0]} pixels; its annotation says {known[1]} x {known[0]}.",
                fix="Take images and annotations from one archive.",
            )
        return pixels.numpy().transpose(1, 2, 0)

    def with_objects(self) -> VocImages:
        """Without images that have no objects."""
        kept = np.unique(self.objects.image)
        renumbered = replace(self.objects, image=np.searchsorted(kept, self.objects.image))
        files = tuple(self.files[number] for number in kept.tolist())
        return replace(self, files=files, sizes=self.sizes[kept], objects=renumbered)


@path_errors()
def find_voc(folder: str | Path | None, *, root: Path | None = None) -> VocFolders:
    """Where the years are.

    Args:
        folder: VOCdevkit, a folder that contains it, or that of a single year; None: below the data root.
        root: the data root; None: COPGEN_DATA, else the user's cache.

    Raises:
        DataError: there is no VOC; or VOC2007 is there, but VOC2012 is missing.
    """
    if folder is None:
        place = data_root(root)
        devkit = find(place, PLACES, lambda path: (path / YEARS[0]).is_dir())
        if devkit is None:
            raise DataError(
                f"PASCAL VOC was not found in {place}.",
                fix=f"Get it from {SOURCE}, and pass its folder VOCdevkit with --dataset, or --data-root.",
            )
    else:
        named = home_expanded(str(folder), "pass the whole path, or ./~ for a folder with this name")
        if (named / "Annotations").is_dir() or (named / "ImageSets").is_dir():
            return VocFolders((named,), (named,))
        devkit = named / "VOCdevkit" if (named / "VOCdevkit").is_dir() else named
        if not (devkit / YEARS[0]).is_dir():
            raise DataError(
                f"There is no VOC in {named}: it has no VOC2007, no VOCdevkit and no Annotations.",
                fix="Pass the folder VOCdevkit, or VOC2007 in it (docs/detection.md).",
            )
    old, new = (devkit / year for year in YEARS)
    if not new.is_dir():
        raise DataError(
            f"{devkit} has VOC2007, but not VOC2012, which the protocol 07+12 trains on too.",
            fix=f"Extract {ARCHIVES['VOC2012', 'trainval']} there, or pass {old} to train on 2007 alone.",
        )
    return VocFolders((old, new), (old,))


@path_errors()
def open_voc(folders: Sequence[Path], split: VocSplit, *, classes: tuple[str, ...] = CLASSES) -> VocImages:
    """A split of VOC.

    Args:
        folders: of years, such as those of `find_voc`.
        split: train (trainval) or test.
        classes: names of the classes, in the order of their labels.

    Raises:
        DataError: a list, an annotation or an image is missing; errors as `read_annotation`; no object at all.
    """
    files: list[Path] = []
    sizes: list[tuple[int, int]] = []
    objects: list[Objects] = []
    digest = hashlib.sha256()
    for folder in folders:
        there = _sizes_of_files(folder / "JPEGImages")
        for name in _names(folder, split):
            image, path = folder / "JPEGImages" / f"{name}.jpg", folder / "Annotations" / f"{name}.xml"
            if image.name not in there:
                raise DataError(f"{image} is missing.", fix=_archive(folder, split))
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise DataError(
                    f"{path} is missing: the image has no annotation.", fix=_archive(folder, split)
                ) from None
            found = read_annotation(data, str(path), classes)
            objects.append(replace(found.objects, image=found.objects.image + len(files)))
            files.append(image)
            sizes.append((found.height, found.width))
            digest.update(os.fsencode(f"{name} {there[image.name]} {len(data)}\n") + data)
    joined = Objects.joined(objects)
    if not len(joined):
        raise DataError(f"No image of {SETS[split]} in {folders[0]} has an object.", fix=_archive(folders[0], split))
    images = VocImages(tuple(files), np.array(sizes, dtype=np.int64), joined, classes, digest.hexdigest())
    return images.with_objects() if split == "train" else images


def _names(folder: Path, split: VocSplit) -> list[str]:
    """The names of the images of a split, in the order of its list."""
    path, fix = folder / "ImageSets" / "Main" / f"{SETS[split]}.txt", _archive(folder, split)
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing: {folder.name} has no {SETS[split]}.", fix=_archive(folder, split)
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text.", fix=_archive(folder, split)) from None
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path} is empty.", fix=fix)
    seen: set[str] = set()
    for name in names:
        if name in seen or "/" in name:
            problem = "lists it twice" if name in seen else "is a path"
            raise DataError(f"{path}: {name!r} {problem}.", fix="Each line is the name of one image, such as 000005.")
        seen.add(name)
    return names


def _sizes_of_files(folder: Path) -> dict[str, int]:
    """Bytes by name."""
    try:
        with os.scandir(folder) as listing:
            return {entry.name: entry.stat().st_size for entry in listing if entry.is_file()}
    except FileNotFoundError:
        raise DataError(f"{folder} is missing: there are no images.", fix="Extract the archive again.") from None


def _archive(folder: Path, split: VocSplit) -> str:
    """Where what is missing comes from."""
    archive = ARCHIVES.get((folder.name, SETS[split]))
    if archive is None:
        return "Complete the folder: ImageSets/Main lists its images, and each has an image and an annotation."
    return f"Extract {archive} of {SOURCE} so that it completes {folder}."
