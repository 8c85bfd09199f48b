"""ImageNet-1K and ImageNet-100, from the usual trees.

    train/n01440764/*.JPEG, val/n01440764/*.JPEG                              class folders in both
    ILSVRC/Data/CLS-LOC/train/n01440764/*.JPEG, .../val/*.JPEG                as in the archive of Kaggle, with
    LOC_val_solution.csv beside ILSVRC                                        the classes of the flat val/

The test split is `val`, whose labels are public; validation is a tenth of the training images (data/splits.py). Classes
are numbered in the order of their WordNet identifiers, 0 to 999 as everywhere. ImageNet-100 is the list of CMC, which
GenRep and COP-Gen use (imagenet100.txt): taken from a tree of all classes, or of exactly these.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import torch

from copgen.data.image_files import ImageFiles
from copgen.data.image_folder import ImageTree, images_below, read_tree, visible_folders
from copgen.data.splits import AnySplit, rows_of
from copgen.runtime.errors import DataError
from copgen.storage.files import read_bytes

CLASSES = 1000
KAGGLE = Path("ILSVRC/Data/CLS-LOC")
SOLUTION = "LOC_val_solution.csv"
_WNID = re.compile(r"n\d{8}")


@functools.cache
def imagenet100_classes() -> tuple[str, ...]:
    """The WordNet identifiers of ImageNet-100, sorted."""
    return tuple((files("copgen.data") / "imagenet100.txt").read_text("ascii").split())


def is_imagenet(folder: Path) -> bool:
    """Whether a folder has class folders of ImageNet in train/, whichever."""
    train = tree_of(folder) / "train"
    return train.is_dir() and any(_WNID.fullmatch(name) for name in visible_folders(train))


def tree_of(folder: Path) -> Path:
    """The folder of train/ and val/: the folder itself, or below it as in Kaggle's archive."""
    return folder / KAGGLE if (folder / KAGGLE).is_dir() else folder


def open_imagenet(folder: Path, split: AnySplit, *, only: Sequence[str] | None = None) -> ImageFiles:
    """A split of ImageNet, in RGB.

    Args:
        folder: with train/ and val/, or with ILSVRC/.
        split: which images.
        only: the classes to take; None: all 1,000.

    Raises:
        DataError: classes are missing or unexpected, a class has no images, or val/ is flat and its classes are
            unknown; the error names the folder.
    """
    tree = tree_of(folder)
    train, val = tree / "train", tree / "val"
    if not train.is_dir():
        raise DataError(f"There is no folder {train}.", fix="Expected ImageNet's train/n01440764/ and val/n01440764/.")
    there = tuple(name for name in visible_folders(train) if _WNID.fullmatch(name))
    _check_classes(train, there, only)
    classes = tuple(only or there)
    if split != "test":
        found = read_tree(train, below=tree, classes=classes, only=True)
    elif not val.is_dir():
        raise DataError(f"There is no folder {val}, which has the test images.", fix="Unpack ILSVRC2012_img_val.tar.")
    elif below := visible_folders(val):
        if missing := sorted(set(classes) - below.keys()):
            raise DataError(f"{val} has no folder of the class {missing[0]}.", fix="Complete the tree.")
        found = read_tree(val, below=tree, classes=classes, only=True)
    else:
        found = _flat(val, tree, folder / SOLUTION, classes)
    source = ImageFiles(tree, found.names, labels=found.labels, classes=classes, digest=found.digest, channels=3)
    return source if split == "test" else source.select(rows_of(split, found.labels, len(source)))


def _check_classes(train: Path, there: Sequence[str], only: Sequence[str] | None) -> None:
    """Refuse a tree without the classes of ImageNet-1K, or of ImageNet-100."""
    if only is None and len(there) != CLASSES:
        raise DataError(
            f"{train} has {len(there):,} classes; ImageNet-1K has {CLASSES:,}.",
            fix="Complete it, or pass the folder itself as the dataset, which takes the classes that are there.",
        )
    if missing := sorted(set(only or ()) - set(there)):
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{train} lacks {len(missing)} of the 100 classes of ImageNet-100: {some}.",
            fix="The list is that of CMC, GenRep and COP-Gen. Complete the tree, or pass the folder itself as the "
            "dataset, which takes the classes that are there.",
        )


def _flat(val: Path, tree: Path, solution: Path, classes: tuple[str, ...]) -> ImageTree:
    """The images of a val/ without class folders, with the classes that Kaggle's table gives them."""
    if not solution.is_file():
        raise DataError(
            f"{val} has no class folders, and {solution} is missing, so the classes of its images are unknown.",
            fix=f"Sort its images into class folders, or put {SOLUTION} of Kaggle's archive there.",
        )
    rows = csv.reader(read_bytes(solution).decode("utf-8-sig", "replace").splitlines())
    try:
        known = {row[0]: row[1].split()[0] for row in rows if len(row) == 2 and _WNID.match(row[1])}
    except csv.Error as error:
        raise DataError(f"{solution} is not a table: {error}.", fix=f"Take {SOLUTION} of Kaggle's archive.") from None
    number = {name: k for k, name in enumerate(classes)}
    found: list[tuple[int, str]] = []
    digest = hashlib.sha256()
    for path, size in images_below(val):
        name = Path(path)
        if name.stem not in known:
            raise DataError(f"{solution} has no class for {path}.", fix="Use the table and the images of one archive.")
        if known[name.stem] in number:
            relative = str(name.relative_to(tree))
            digest.update(os.fsencode(f"{relative} {size}\n"))
            found.append((number[known[name.stem]], relative))
    if not found:
        raise DataError(f"{val} has no images of these classes.", fix="Unpack ILSVRC2012_img_val.tar.")
    found.sort()  # by class and name, as class folders are
    labels = torch.tensor([label for label, _ in found], dtype=torch.int64)
    return ImageTree([name for _, name in found], labels, classes, digest.hexdigest())
