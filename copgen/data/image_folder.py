"""Folders of images: class folders as torchvision's ImageFolder reads them, or images without classes.

    folder/cat/1.png, folder/cat/old/2.jpg, folder/dog/1.png      classes, with images at any depth
    folder/1.png, folder/2.png                                   no classes
    folder/train/..., folder/val/..., folder/test/...            either of the two in each split

The order is that of torchvision: classes by name, and in a class its folders by path, and in each its files by name.
Hidden files and folders are ignored, such as `.ipynb_checkpoints` and `._1.png`. Links are followed. One that leads
nowhere is an unreadable image if its name is that of an image; otherwise it may stand for a class, and is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from copgen.data.image_files import ImageFiles
from copgen.data.splits import AnySplit, rows_of
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.path_errors import path_error

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation")
TEST = ("test",)
_LAYOUT = "Expected images in class folders (FOLDER/cat/1.png), or directly in the folder."


@dataclass(frozen=True)
class ImageTree:
    """The images below a folder.

    Attributes:
        names: of the files, relative to the folder, in order.
        labels: (N,) int64; None without classes.
        classes: names of the class folders, sorted.
        digest: sha256 of the names and sizes.
    """

    names: list[str]
    labels: Tensor | None
    classes: tuple[str, ...]
    digest: str


_Listing = TypeVar("_Listing")
_LISTED: ContextVar[dict[tuple[object, ...], Any] | None] = ContextVar("listed", default=None)


def open_folder(folder: Path, split: AnySplit, *, channels: int | None = None) -> ImageFiles:
    """A split of a folder of images.

    Without a split of its own, validation is a tenth of the training images (data/splits.py). With `val` and no `test`,
    `val` is the test split, as is usual for ImageNet. Without `train`, all images are for training.

    Args:
        folder: the folder.
        split: which images.
        channels: 1 or 3; None: 1 if the images are grey.

    Raises:
        DataError: no such folder, no images, a class without images, or classes that the training split does not have.
        UsageError: there is no test split.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", fix="Check the path.")
    found = split_folders(folder)
    classes = tuple(visible_folders(found["train"])) if found else None
    trees = [read_tree(part, below=folder, classes=classes) for part in parts_of(folder, found, split)]
    names = [name for tree in trees for name in tree.names]
    labels = None if trees[0].labels is None else torch.cat([tree.labels for tree in trees if tree.labels is not None])
    digest = "+".join(tree.digest for tree in trees)
    source = ImageFiles(folder, names, labels=labels, classes=trees[0].classes, digest=digest, channels=channels)
    held_out = {"validation", "test"} <= found.keys()
    return source if split == "test" or held_out else source.select(rows_of(split, labels, len(source)))


def split_folders(folder: Path) -> dict[str, Path]:
    """The folders of the splits train, validation and test, if the folder has no others; else empty."""
    below = visible_folders(folder)
    if not below or not set(below) <= {*TRAIN, *VALIDATION, *TEST} or not set(below) & set(TRAIN):
        return {}
    found = {}
    for split, names in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        there = [below[name] for name in names if name in below]
        if len(there) > 1:
            raise DataError(
                f"{folder} has both {there[0].name}/ and {there[1].name}/.", fix="Remove or rename one of them."
            )
        if there:
            found[split] = there[0]
    return found


def parts_of(folder: Path, found: dict[str, Path], split: AnySplit) -> list[Path]:
    """The folders that the images of a split are in."""
    if split == "test":
        if not found.keys() & {"validation", "test"}:
            raise UsageError(
                f"{folder} has no test split.", fix="Put the images into train/ and test/ (or val/) below it."
            )
        return [found.get("test") or found["validation"]]
    if not found:
        return [folder]
    if {"validation", "test"} <= found.keys():
        return [found[part] for part in split.split("+")]
    return [found["train"]]


@contextmanager
def listed_once() -> Iterator[None]:
    """Inside, `listed` makes each listing once, whatever splits are opened: of 1.3M files it takes minutes."""
    token = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(token)


def listed(key: tuple[object, ...], make: Callable[[], _Listing]) -> _Listing:
    """A listing of a folder, made now, or by an earlier call with this key inside the same `listed_once`."""
    known = _LISTED.get()
    if known is None:
        return make()
    if key not in known:
        known[key] = make()
    found: _Listing = known[key]
    return found


def read_tree(folder: Path, *, below: Path, classes: tuple[str, ...] | None = None, only: bool = False) -> ImageTree:
    """The images of a folder, which is `below` or in it; their names are relative to `below`.

    Args:
        folder: the folder.
        below: what the names start from.
        classes: of the training split; None: the class folders that are there.
        only: skip other classes than these, instead of refusing them.

    Raises:
        DataError: no images, a class without images, or one that is not in `classes`.
    """
    return listed((folder, below, classes, only), lambda: _tree(folder, below, classes, only=only))


def _tree(folder: Path, below: Path, classes: tuple[str, ...] | None, *, only: bool) -> ImageTree:
    prefix = "" if folder == below else f"{folder.relative_to(below)}/"
    there = tuple(name for name in visible_folders(folder) if not only or name in (classes or ()))
    if classes is not None and (strange := sorted(set(there) - set(classes))):
        raise DataError(
            f"{folder} has the class {strange[0]!r}, which the training split does not have.",
            fix="Training and test images need the same class folders.",
        )
    names: list[str] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    numbers = {name: number for number, name in enumerate(classes or there)}
    for name in there or ("",):
        number = len(names)
        for path, size in images_below(folder / name):
            relative = path.removeprefix(f"{folder}/")
            digest.update(os.fsencode(f"{relative} {size}\n"))
            names.append(prefix + relative)
        if len(names) == number and name:
            raise DataError(
                f"{folder / name} has no images: class {name!r} is empty.",
                fix=f"Remove the folder, or add images ({', '.join(EXTENSIONS)}).",
            )
        labels += [numbers.get(name, 0)] * (len(names) - number)
    if not names:
        raise DataError(f"{folder} has no images ({', '.join(EXTENSIONS)}).", fix=_LAYOUT)
    return ImageTree(
        names, torch.tensor(labels, dtype=torch.int64) if there else None, classes or there, digest.hexdigest()
    )


def images_below(folder: Path) -> Iterator[tuple[str, int]]:
    """(path, bytes) of the images in a folder: its own by name, then those of the folders below it, by path.

    Links are followed, but not to a folder that is above.
    """
    waiting = [(str(folder), frozenset({os.path.realpath(folder)}))]
    folders: list[tuple[str, list[tuple[str, int]]]] = []
    while waiting:
        path, above = waiting.pop()
        files = []
        with _readable(Path(path)), os.scandir(path) as listing:
            for entry in listing:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    if real not in above:
                        waiting.append((entry.path, above | {real}))
                elif entry.name.lower().endswith(EXTENSIONS):
                    if entry.is_file():
                        files.append((entry.path, entry.stat().st_size))
                    elif _leads_nowhere(entry):
                        files.append((entry.path, 0))
        folders.append((path, sorted(files)))
    for _, files in sorted(folders):
        yield from files


def visible_folders(folder: Path) -> dict[str, Path]:
    """The folders in a folder by name, sorted, without hidden ones."""
    with _readable(folder), os.scandir(folder) as listing:
        names = sorted(entry.name for entry in listing if not entry.name.startswith(".") and _is_folder(entry))
    return {name: folder / name for name in names}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        found = entry.is_dir()
    except OSError as error:
        raise path_error(error, Path(entry.path), access="read") from None
    if not found and _leads_nowhere(entry) and not entry.name.lower().endswith(EXTENSIONS):
        raise DataError(
            f"{entry.path} is a link to {os.readlink(entry.path)}, which is not there.",
            fix="Restore or mount what it leads to, or remove the link.",
        )
    return found


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise path_error(error, folder, access="read") from None
