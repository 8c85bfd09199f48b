"""The authors' tree of images, as GenRep and COP-Gen write it: file names, and which pairs a folder holds.

train/n01440764/seed0000_sample00017_anchor.png
train/n01440764/seed0000_sample00017_neighbor.png       COP-Gen: one positive
train/n01440764/seed0000_sample00017_neighbor_0.png     GenRep, steered: several, from 0
train/n01440764/seed0000_sample00017_1.0_1.png          GenRep, Gaussian: several, from 1

COP-Gen's script writes JPEG and WebP as well (`--imformat`). A folder is a class; for an unconditional generator it has
no meaning. Their `z_dataset.pkl` is a pickle and not read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from copgen.pairs.foreign_images import FORMATS, image_shape
from copgen.runtime.errors import DataError
from copgen.runtime.urls import refuse_url

PARTITION = "train"
_NAME = re.compile(
    r"(?P<stem>seed(?P<seed>\d{1,18})_sample(?P<sample>\d{1,18}))_(?P<role>[a-z0-9._]+)\.(?P<end>[a-z]+)"
)
_POSITIVE = re.compile(r"neighbor|neighbor_(?P<steered>\d{1,2})|\d{1,2}\.\d_(?P<gaussian>\d{1,2})")
NAMED = "Expected names like seed0000_sample00017_anchor.png and seed0000_sample00017_neighbor.png, one folder a class."


@dataclass(frozen=True)
class Tree:
    """The content of a tree.

    Attributes:
        root: the folder that contains the classes.
        classes: names of the class folders, each with the stems of its pairs, in the order of seed and sample.
        roles: the parts of the file names after a stem: `anchor`, then the positives in order.
        end: what all file names end with: png, jpg, jpeg or webp.
        files: number of images.
        sha256: of the list of their names and sizes.
        shape: channels, height and width of the first image; all others must have the same.
        ignored: number of other files.
    """

    root: Path
    classes: dict[str, list[str]]
    roles: tuple[str, ...]
    end: str
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
        return [self.root / name / f"{stem}_{role}.{self.end}" for role in self.roles]


def read_tree(folder: Path) -> Tree:
    """The tree in a folder, from its file names; only the first image's header is read.

    Args:
        folder: output of the authors' scripts: the data set, its `train`, or the folder of one class.

    Raises:
        DataError: no such folder, no such images, an image with another name or of another format than the first, or
            a pair with a missing image.
    """
    refuse_url(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", fix="Pass the folder that contains the class folders.")
    root = folder / PARTITION if (folder / PARTITION).is_dir() else folder
    # Hidden folders and files are those of editors and file managers, such as .ipynb_checkpoints and ._x.png.
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:  # one class alone
        root, names = root.resolve().parent, [root.resolve().name]
    classes: dict[str, list[str]] = {}
    roles: tuple[str, ...] = ()
    end = ""
    digest, files, ignored = hashlib.sha256(), 0, 0
    for name in names:
        found = _of_class(root / name, end)
        ignored += found.ignored
        if not found.roles:
            continue
        roles, end = roles or _order(next(iter(found.roles.values()))), found.end
        for stem, present in found.roles.items():
            _check_roles(root / name / stem, present, roles, end)
        for file in sorted(found.sizes):
            digest.update(f"{name}/{file} {found.sizes[file]}\n".encode(errors="surrogateescape"))
        files += len(found.sizes)
        classes[name] = list(found.roles)
    if not classes:
        raise DataError(f"{root} contains no pairs with the authors' file names.", fix=NAMED)
    name, stems = next(iter(classes.items()))
    shape = image_shape(root / name / f"{stems[0]}_{roles[0]}.{end}")
    return Tree(root, classes, roles, end, files, digest.hexdigest(), shape, ignored)


@dataclass(frozen=True)
class _ClassFolder:
    """The roles of each stem, in the order of seed and sample; sizes by name; number of other files."""

    roles: dict[str, set[str]]
    end: str
    sizes: dict[str, int]
    ignored: int


def _of_class(folder: Path, end: str) -> _ClassFolder:
    """The content of a class; `end` is that of the images of the classes before it, empty if there are none."""
    numbered: list[tuple[int, int, str, str]] = []
    sizes: dict[str, int] = {}
    strange: list[Path] = []
    others = 0
    with os.scandir(folder) as listing:
        entries = sorted((entry for entry in listing if entry.is_file()), key=lambda entry: entry.name)
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        path = Path(entry.path)
        if match and match["end"] in FORMATS and (match["role"] == "anchor" or _POSITIVE.fullmatch(match["role"])):
            end = end or match["end"]
            if match["end"] != end:
                fix = "All images of a tree must have one format; remove those of the other."
                raise DataError(f"{path} is not a .{end} file like the images before it.", fix=fix)
            sizes[entry.name] = entry.stat().st_size
            numbered.append((int(match["seed"]), int(match["sample"]), match["stem"], match["role"]))
        elif path.suffix.removeprefix(".") in FORMATS and not entry.name.startswith("."):
            strange.append(path)
        else:
            others += 1
    for path in strange:
        if path.suffix == f".{end or 'png'}":
            raise DataError(f"{path} does not have a name like the authors' images.", fix=NAMED)
        others += 1
    roles: dict[str, set[str]] = {}
    for _, _, stem, role in sorted(numbered):
        roles.setdefault(stem, set()).add(role)
    return _ClassFolder(roles, end, sizes, others)


def usual_roles(positives: int) -> tuple[str, ...]:
    """How the images' names number so many positives, unless told otherwise."""
    return ("neighbor",) if positives == 1 else numbered_roles(positives)


def numbered_roles(positives: int) -> tuple[str, ...]:
    """GenRep's names of steered positives."""
    return tuple(f"neighbor_{j}" for j in range(positives))


def _order(roles: set[str]) -> tuple[str, ...]:
    """The anchor, then the positives by their number."""

    def number(role: str) -> int:
        match = _POSITIVE.fullmatch(role)
        return int(match["steered"] or match["gaussian"] or 0) if match else -1

    return tuple(sorted(roles | {"anchor"}, key=lambda role: (number(role), role)))


def _check_roles(stem: Path, present: set[str], roles: tuple[str, ...], end: str) -> None:
    fix = "The authors' script leaves a class incomplete when stopped: generate it again, or remove the pair's files."
    if len(roles) == 1:
        raise DataError(f"{stem}_neighbor.{end} is missing: the anchor has no positive.", fix=fix)
    for role in roles:
        if role not in present:
            raise DataError(f"{stem}_{role}.{end} is missing: its pair has {len(present)} images.", fix=fix)
    if more := sorted(present - set(roles)):
        what = f"{stem}_{more[0]}.{end} is a positive that the first pair does not have."
        raise DataError(what, fix="All pairs of a tree must have the same positives.")
