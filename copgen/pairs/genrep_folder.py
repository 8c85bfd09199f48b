"""The authors' tree of images, as GenRep and COP-Gen write it: file names, and which pairs a folder holds.

train/n01440764/seed0000_sample00017_anchor.png
train/n01440764/seed0000_sample00017_neighbor.png       COP-Gen: one positive
train/n01440764/seed0000_sample00017_neighbor_0.png     GenRep, steered: several, from 0
train/n01440764/seed0000_sample00017_1.0_1.png          GenRep, Gaussian: several, from 1; the 1.0 is fixed

A folder is a class; for an unconditional generator it has no meaning. Their `z_dataset.pkl` is a pickle and not read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from copgen.pairs.pillow import header
from copgen.pairs.tar import MAX_MEMBER_BYTES
from copgen.runtime.errors import DataError

PARTITION = "train"
_NAME = re.compile(r"(?P<stem>seed(?P<seed>\d{1,18})_sample(?P<sample>\d{1,18}))_(?P<role>[a-z0-9._]+)\.png")
_POSITIVE = re.compile(r"neighbor|neighbor_(?P<steered>\d{1,2})|1\.0_(?P<gaussian>\d{1,2})")
_CHANNELS = {"L": 1, "RGB": 3}
_MAX_SIDE = 8192  # pixels
NAMED = "Expected names like seed0000_sample00017_anchor.png and seed0000_sample00017_neighbor.png, one folder a class."


@dataclass(frozen=True)
class Tree:
    """The content of a tree.

    Attributes:
        root: the folder that contains the classes.
        classes: names of the class folders, each with the stems of its pairs, in the order of seed and sample.
        roles: the parts of the file names after a stem: `anchor`, then the positives in order.
        files: number of images.
        sha256: of the list of their names and sizes.
        shape: channels, height and width of the first image; all others must have the same.
        ignored: number of other files.
    """

    root: Path
    classes: dict[str, list[str]]
    roles: tuple[str, ...]
    files: int
    sha256: str
    shape: tuple[int, int, int]
    ignored: int

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return sum(map(len, self.classes.values()))

    def stems(self, indices: range) -> Iterator[tuple[str, str]]:
        """(class, stem) of the pairs with these indices, in order."""
        first = 0
        for name, stems in self.classes.items():
            for place in range(max(indices.start - first, 0), min(indices.stop - first, len(stems))):
                yield name, stems[place]
            first += len(stems)

    def paths(self, name: str, stem: str) -> list[Path]:
        """The images of a pair: the anchor, then the positives."""
        return [self.root / name / f"{stem}_{role}.png" for role in self.roles]


def read_tree(folder: Path) -> Tree:
    """The tree in a folder, from its file names; only the first image's header is read.

    Args:
        folder: output of the authors' scripts: the data set, its `train`, or the folder of one class.

    Raises:
        DataError: no such folder, no such images, a PNG file with another name, or a pair with a missing image.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", fix="Pass the folder that contains the class folders.")
    root = folder / PARTITION if (folder / PARTITION).is_dir() else folder
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    if not names:  # one class alone
        root, names = root.resolve().parent, [root.resolve().name]
    classes: dict[str, list[str]] = {}
    roles: tuple[str, ...] = ()
    digest, files, ignored = hashlib.sha256(), 0, 0
    for name in names:
        stems_roles, sizes, others = _of_class(root / name)
        ignored += others
        if not stems_roles:
            continue
        roles = roles or _order(next(iter(stems_roles.values())))
        for stem, present in stems_roles.items():
            _check_roles(root / name, stem, present, roles)
        for file in sorted(sizes):
            digest.update(f"{name}/{file} {sizes[file]}\n".encode())
        files += len(sizes)
        classes[name] = list(stems_roles)
    if not classes:
        raise DataError(f"{root} contains no pairs with the authors' file names.", fix=NAMED)
    name, stems = next(iter(classes.items()))
    shape = _shape(root / name / f"{stems[0]}_{roles[0]}.png")
    return Tree(root, classes, roles, files, digest.hexdigest(), shape, ignored)


def _of_class(folder: Path) -> tuple[dict[str, set[str]], dict[str, int], int]:
    """The roles of each stem of a class, in the order of seed and sample; sizes by name; number of other files."""
    numbered: list[tuple[int, int, str, str]] = []
    sizes: dict[str, int] = {}
    others = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".png") or not entry.is_file():
                others += entry.is_file()
                continue
            match = _NAME.fullmatch(entry.name)
            if match is None or not (match["role"] == "anchor" or _POSITIVE.fullmatch(match["role"])):
                raise DataError(f"{entry.path} does not have a name like the authors' images.", fix=NAMED)
            sizes[entry.name] = entry.stat().st_size
            numbered.append((int(match["seed"]), int(match["sample"]), match["stem"], match["role"]))
    roles: dict[str, set[str]] = {}
    for _, _, stem, role in sorted(numbered):
        roles.setdefault(stem, set()).add(role)
    return roles, sizes, others


def _order(roles: set[str]) -> tuple[str, ...]:
    """The anchor, then the positives by their number."""

    def number(role: str) -> int:
        match = _POSITIVE.fullmatch(role)
        return int(match["steered"] or match["gaussian"] or 0) if match else -1

    return tuple(sorted(roles | {"anchor"}, key=lambda role: (number(role), role)))


def _check_roles(folder: Path, stem: str, present: set[str], roles: tuple[str, ...]) -> None:
    fix = "The authors' script leaves a class incomplete when stopped: generate it again, or remove the pair's files."
    if len(roles) == 1:
        raise DataError(f"{folder / stem}_neighbor.png is missing: the anchor has no positive.", fix=fix)
    for role in roles:
        if role not in present:
            raise DataError(f"{folder / stem}_{role}.png is missing: its pair has {len(present)} images.", fix=fix)
    if more := sorted(present - set(roles)):
        what = f"{folder / stem}_{more[0]}.png is a positive that the first pair does not have."
        raise DataError(what, fix="All pairs of a tree must have the same positives.")


def image_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        DataError: it is missing or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MEMBER_BYTES:
            raise DataError(f"{path} has {size:,} bytes; at most {MAX_MEMBER_BYTES:,} are supported.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", fix="Check the disk and its permissions."
        ) from None


def _shape(path: Path) -> tuple[int, int, int]:
    try:
        mode, height, width = header(image_bytes(path), "PNG")
    except ValueError as error:
        raise DataError(f"{path} is not a PNG image: it {error}.") from None
    if mode not in _CHANNELS:
        raise DataError(f"{path} has mode {mode}; expected grey (L) or RGB.")
    if max(width, height) > _MAX_SIDE:
        raise DataError(f"{path} is {height} x {width} pixels; at most {_MAX_SIDE} a side are supported.")
    return _CHANNELS[mode], height, width
