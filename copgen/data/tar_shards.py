"""Tar shards of images with a class, in the WebDataset layout; each image is read at its offset in the tar.

    train-000000.tar:  cat-1.jpg  cat-1.cls  cat-2.png  cat-2.json  ...

A sample is the members with the same name up to the first dot of the file name: one image (jpg, jpeg, png or webp), and
its class in `cls` (a number or a name), or in `json` under "class" or "label". Shards whose names contain train, val or
test are of that split; others are for training. All members are listed once when the shards are opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copgen.data.colours import channels_of
from copgen.data.image_folder import listed, visible_folders
from copgen.data.packed_names import PackedNames
from copgen.data.splits import AnySplit, rows_of
from copgen.data.tar_members import Member, members
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.kept_files import KeptFiles

IMAGES = ("jpg", "jpeg", "png", "webp")
CLASS_KEYS = ("class", "label")
_SPLIT = re.compile(r"(?:^|[^a-z])(train|training|val|valid|validation|test)(?:[^a-z]|$)")
_COMPRESSED = re.compile(r"\.tar\.\w+$|\.tgz$")
_LARGEST_CLASS = 2**16  # bytes of a cls or json member
_MOST_CLASSES = 2**20  # far above any labelled dataset: a larger number is an identifier or damage
_NAMED = {"training": "train", "val": "validation", "valid": "validation"}
_UNPACK = "Unpack compressed shards to .tar; their images are compressed already."


class TarShards:
    """Images in tars by item number, in the order of the shards' names and of their members.

    Args:
        shards: the tars.
        names: of the images' members.
        places: (N, 3) int64: number of the shard, offset and size in bytes.
        labels: (N,) int64, or None without classes.
        classes: their names.
        digest: of the names and sizes of the shards.
        channels: 1 or 3; None: as `channels_of` finds.
    """

    size: tuple[int, int] | None = None

    def __init__(
        self,
        shards: Sequence[Path],
        names: PackedNames,
        places: NDArray[np.int64],
        *,
        labels: Tensor | None,
        classes: tuple[str, ...],
        digest: str,
        channels: int | None = None,
    ) -> None:
        self.shards = tuple(shards)
        self._names, self._places, self._files = names, places, KeptFiles()
        self.labels = labels
        self.classes = classes
        self.inputs = {"shards": digest}
        self.channels = channels or channels_of(self)

    def __len__(self) -> int:
        return len(self._places)

    def columns(self, samples: range, views: int) -> Tensor:
        """(K, views) zeros: every item is one image."""
        return torch.zeros(len(samples), views, dtype=torch.int64)

    def encoded(self, item: int, column: int = 0) -> bytes:
        """The bytes of the image file in its shard.

        Raises:
            DataError: the shard is missing or was truncated; the error names it and the image.
        """
        shard, offset, size = self._places[item].tolist()
        try:
            data = self._files[self.shards[shard]].read(size, offset)
        except OSError as error:
            raise DataError(f"{self.where(item)} cannot be read: {error.strerror}.", fix="Check the disk.") from None
        if len(data) != size:
            raise DataError(f"{self.where(item)} was truncated while it was being read.", fix="Fetch the shard again.")
        return data

    def where(self, item: int, column: int = 0) -> str:
        """How messages name an item: shard and member."""
        return f"{self.shards[int(self._places[item, 0])]}: {self._names[item]}"

    def select(self, rows: Tensor) -> TarShards:
        """The source of these items alone."""
        return TarShards(
            self.shards,
            self._names.select(rows),
            self._places[rows.numpy()],
            labels=None if self.labels is None else self.labels[rows],
            classes=self.classes,
            digest=self.inputs["shards"],
            channels=self.channels,
        )


def open_shards(folder: Path, split: AnySplit, *, channels: int | None = None) -> TarShards:
    """A split of a folder of shards; without shards of its own, validation is a tenth of the training images.

    With shards for validation and none for test, those for validation are the test split.

    Raises:
        DataError: a tar is truncated, a sample has no image or two, or only some samples have a class.
        UsageError: there is no test split.
    """
    found = shards_of(folder)
    if split == "test" and not found.keys() & {"validation", "test"}:
        raise UsageError(f"{folder} has no test split.", fix="Give shards of it names with 'val' or 'test'.")
    held_out = {"validation", "test"} <= found.keys()
    if split == "test":
        shards = found.get("test") or found["validation"]
    elif held_out:
        shards = [shard for part in split.split("+") for shard in found.get(part, [])]
    else:
        shards = found.get("train", [])
    if not shards:
        raise DataError(f"{folder} has no shards for training.", fix="Give them names with 'train'.")
    names, places, words = _read(shards)
    classes: tuple[str, ...] = ()
    labels = None
    if words:
        of_training = words if shards == found.get("train") or _are_numbers(words) else _read(found["train"])[2]
        labels, classes = _numbered(folder, words, of_training)
    digest = hashlib.sha256(os.fsencode("".join(f"{shard.name} {shard.stat().st_size}\n" for shard in shards)))
    source = TarShards(
        shards, names, places, labels=labels, classes=classes, digest=digest.hexdigest(), channels=channels
    )
    return source if split == "test" or held_out else source.select(rows_of(split, labels, len(source)))


def shards_of(folder: Path) -> dict[str, list[Path]]:
    """The tars of a folder by split, in the order of their paths; empty if it holds something else.

    They are in the folder itself, or in its folders train, val and test; beside other folders they are archives.

    Raises:
        DataError: there are only compressed tars.
    """
    below = visible_folders(folder)
    places = [path for name, path in below.items() if _SPLIT.fullmatch(name)] if below else [folder]
    for place in places:
        visible_folders(place)  # refuses a link that leads nowhere: it may stand for a shard
    files = [
        path for place in places for path in sorted(place.iterdir()) if path.is_file() and not path.name.startswith(".")
    ]
    found: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix == ".tar":
            match = _SPLIT.search(str(path.relative_to(folder)).lower())
            split = match[1] if match else "train"
            found.setdefault(_NAMED.get(split, split), []).append(path)
    if files and all(_COMPRESSED.search(path.name) for path in files):
        raise DataError(f"{files[0]} is compressed, so its images cannot be read singly.", fix=_UNPACK)
    return found


def _read(shards: Sequence[Path]) -> tuple[PackedNames, NDArray[np.int64], list[str]]:
    """(names, places, classes) of the images; no classes if no sample has one."""
    return listed(tuple(shards), lambda: _scanned(shards))


def _scanned(shards: Sequence[Path]) -> tuple[PackedNames, NDArray[np.int64], list[str]]:
    names: list[str] = []
    places: list[tuple[int, int, int]] = []
    words: list[str] = []
    without = ""
    for number, shard in enumerate(shards):
        file = os.open(shard, os.O_RDONLY)
        try:
            for key, parts in _samples(shard):
                images = [parts[end] for end in IMAGES if end in parts]
                if len(images) != 1:
                    count = "no image" if not images else "two images"
                    raise DataError(f"{shard}: sample {key} has {count} ({', '.join(IMAGES)}).", fix="Write it again.")
                word = _class_of(shard, file, key, parts)
                without = without or (f"{shard}: sample {key}" if word is None else "")
                if word is not None:
                    words.append(word)
                names.append(images[0].name)
                places.append((number, images[0].offset, images[0].size))
        finally:
            os.close(file)
    if not places:
        raise DataError(f"{shards[0].parent} has no images in its shards.", fix=f"Expected {', '.join(IMAGES)}.")
    if words and len(words) < len(places):
        raise DataError(f"{without} has no class, but others have.", fix="Give each a .cls member, or none.")
    return PackedNames(names), np.array(places, dtype=np.int64), words


def _samples(shard: Path) -> list[tuple[str, dict[str, Member]]]:
    """(key, members by extension) of the samples of a shard."""
    found: dict[str, dict[str, Member]] = {}
    for member in members(shard):
        folder, _, file = member.name.rpartition("/")
        if file.startswith("."):
            continue
        stem, _, extension = file.partition(".")
        key, extension = (f"{folder}/{stem}" if folder else stem), extension.lower()
        parts = found.setdefault(key, {})
        if extension in parts:
            raise DataError(f"{shard}: member {member.name} occurs twice.", fix="Write the shard again.")
        parts[extension] = member
    for key, parts in found.items():
        hidden = [part for end, part in parts.items() if end.endswith(tuple(f".{image}" for image in IMAGES))]
        if hidden and not parts.keys() & set(IMAGES):
            raise DataError(
                f"{shard}: {hidden[0].name} is not an image of a sample: the name of a sample ends at its first dot, "
                f"so this is a part of {key}.",
                fix="Write the shard again, with no other dot in the file name than that before the extension.",
            )
    return [(key, parts) for key, parts in found.items() if parts.keys() & {*IMAGES, "cls"}]


def _class_of(shard: Path, file: int, key: str, parts: dict[str, Member]) -> str | None:
    """The class of a sample as text; None if it has none."""
    part = parts.get("cls") or parts.get("json")
    if part is None:
        return None
    data = os.pread(file, min(part.size, _LARGEST_CLASS), part.offset)
    if part is parts.get("cls"):
        word = data.decode("utf-8", "surrogateescape").strip()  # as in names of files: other bytes, another class
        if not word:
            raise DataError(f"{shard}: {part.name} is empty.", fix="Write a class into it: a number or a name.")
        return word
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError(f"{shard}: {part.name} is not a JSON document.", fix="Write the shard again.") from None
    found = [document[name] for name in CLASS_KEYS if isinstance(document, dict) and document.get(name) is not None]
    return str(found[0]) if found else None


def _are_numbers(words: Sequence[str]) -> bool:
    return all(word.isascii() and word.isdigit() and len(word) < 10 for word in words)


def _numbered(folder: Path, words: Sequence[str], of_training: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """(labels, class names): numbers as they are, names in the order of the alphabet."""
    if _are_numbers(of_training) and _are_numbers(words):
        labels = torch.tensor([int(word) for word in words], dtype=torch.int64)
        largest = max(map(int, {*of_training, *words}))
        if largest >= _MOST_CLASSES:
            raise DataError(
                f"{folder} has the class number {largest}; numbers end at {_MOST_CLASSES - 1}.",
                fix="Number the classes from 0, or write names into the .cls members.",
            )
        return labels, tuple(map(str, range(largest + 1)))
    classes = sorted(set(of_training))
    number = {name: k for k, name in enumerate(classes)}
    if strange := sorted(set(words) - set(classes)):
        raise DataError(
            f"{folder} has the class {strange[0]!r} outside of the training split only.",
            fix="Add training images of it, or remove its samples.",
        )
    return torch.tensor([number[word] for word in words], dtype=torch.int64), tuple(classes)
