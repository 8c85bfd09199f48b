"""CIFAR-10: the published Python batches, or tars of JPEG files in class folders.

    data_batch_1 ... data_batch_5, test_batch           as unpacked from cifar-10-python.tar.gz
    train.tar.xz, test.tar.xz                            train/airplane/0000.jpg ... (.tar and .tar.gz as well)

The batches are pickles; they are read by copgen's own reader, which runs nothing in them (storage/foreign). The test
split is the published one, validation a tenth of the 50,000 training images (data/splits.py). The JPEG tars are lossy,
so a result on them is not one on the published pixels.
"""

from __future__ import annotations

import tarfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from lzma import LZMAError
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from copgen.data.decoding import decode
from copgen.data.splits import AnySplit, rows_of
from copgen.data.tensor_images import TensorImages
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events, Silent
from copgen.storage.files import sha256_of
from copgen.storage.foreign import ForeignArray, read_pickled

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)}
TARS = (".tar.xz", ".tar.gz", ".tar")
SIDE = 32
_AGAIN = "Download cifar-10-python.tar.gz again and unpack it."
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError)
_AT_ONCE = 500  # images
_MOST_KEPT = 2  # tars whose images stay in memory
_kept: dict[tuple[Path, int, int], tuple[Tensor, Tensor]] = {}
_LARGEST_FILE, _MOST_FILES = 2**20, 10**6


def is_cifar10(folder: Path) -> bool:
    """Whether a folder holds CIFAR-10 in one of the two forms."""
    return (folder / BATCHES["train"][0]).is_file() or is_tars(folder)


def is_tars(folder: Path) -> bool:
    """Whether a folder holds the tars of JPEG files: the first file is in a folder of one of the classes."""
    tars = [_tar(folder, part) for part in BATCHES]
    if tars[0] is None or tars[1] is None:
        return False
    try:
        with tarfile.open(tars[0], "r|*") as stream:
            first = next((member.name for member in stream if member.isreg()), "")
    except _DAMAGED:
        return tars[0].suffix != ".tar"  # opening it says what is wrong
    return first.split("/")[-2:-1] in [[name] for name in CLASSES]


def open_cifar10(folder: Path, split: AnySplit, *, events: Events | None = None) -> TensorImages:
    """A split, (N, 3, 32, 32).

    Args:
        folder: of the files.
        split: which images.
        events: is told that a tar is decoded, which takes seconds.

    Raises:
        DataError: a file is missing, damaged, or with other content; the error names it.
    """
    part = "test" if split == "test" else "train"
    paths = [folder / name for name in BATCHES[part]]
    if (folder / BATCHES["train"][0]).is_file():
        parts = [_of_batch(path) for path in paths]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    else:
        tar = _tar(folder, part)
        if tar is None:
            raise DataError(f"{folder} has neither {BATCHES['train'][0]} nor {part}{TARS[0]}.", fix=_AGAIN)
        paths = [tar]
        images, labels = _of_tar(tar, events or Silent())
    source = TensorImages(images, labels, classes=CLASSES, inputs={path.name: sha256_of(path) for path in paths})
    return source if split == "test" else source.select(rows_of(split, labels, len(source)))


def _of_batch(path: Path) -> tuple[Tensor, Tensor]:
    """(images, labels) of one Python batch."""
    document: Any = read_pickled(path)
    # Python 2 wrote text, Python 3 writes bytes.
    known = (
        {key.decode() if isinstance(key, bytes) else key: value for key, value in document.items()}
        if isinstance(document, dict)
        else {}
    )
    data, labels = known.get("data"), known.get("labels")
    if not isinstance(data, ForeignArray) or not isinstance(labels, list):
        raise DataError(f"{path} is not a batch of CIFAR-10: it has no 'data' and 'labels'.", fix=_AGAIN)
    pixels = data.values
    if isinstance(pixels, list) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3 * SIDE * SIDE:
        raise DataError(f"{path}: its images are not rows of {3 * SIDE * SIDE:,} bytes.", fix=_AGAIN)
    if len(labels) != len(pixels):
        raise DataError(f"{path} has {len(pixels):,} images, but {len(labels):,} labels.", fix=_AGAIN)
    if not all(isinstance(label, int) and 0 <= label < len(CLASSES) for label in labels):
        raise DataError(f"{path} has a label that is not in 0 to {len(CLASSES) - 1}.", fix=_AGAIN)
    images = torch.from_numpy(pixels.reshape(-1, 3, SIDE, SIDE).copy())
    return images, torch.tensor(labels, dtype=torch.int64)


def _of_tar(path: Path, events: Events) -> tuple[Tensor, Tensor]:
    """(images, labels) of a tar of JPEG files; kept, as decoding takes seconds."""
    status = path.stat()
    key = path, status.st_size, status.st_mtime_ns
    if key not in _kept:
        events.say(f"Decoding the images of {path}, which takes some seconds.")
        decoded = _decoded_tar(path)
        while len(_kept) >= _MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = decoded
    return _kept[key]


def _decoded_tar(path: Path) -> tuple[Tensor, Tensor]:
    """(images, labels), in the order of class and name."""
    files = sorted(_files(path).items(), key=lambda file: (CLASSES.index(file[0][0]), file[0][1]))
    if not files:
        raise DataError(f"{path} has no images.", fix="Expected train/airplane/0000.jpg and so on.")
    images = torch.empty(len(files), 3, SIDE, SIDE, dtype=torch.uint8)

    def decode_some(start: int) -> None:
        for k, (name, data) in enumerate(files[start : start + _AT_ONCE], start):
            where = f"{path}: {'/'.join(name)}"
            image = decode(data, 3, where)
            if image.shape != images.shape[1:]:
                raise DataError(
                    f"{where} is {image.shape[1]} x {image.shape[2]} pixels, not {SIDE} x {SIDE}.", fix=_AGAIN
                )
            images[k] = image

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode_some, range(0, len(files), _AT_ONCE)))
    return images, torch.tensor([CLASSES.index(name) for (name, _), _ in files], dtype=torch.int64)


def _files(path: Path) -> dict[tuple[str, str], bytes]:
    """The files of a tar by (class, file name)."""
    found: dict[tuple[str, str], bytes] = {}
    try:
        with tarfile.open(path, "r|*") as stream:
            for member in stream:
                name = member.name.split("/")
                if not member.isreg() or name[-1].startswith(".") or not name[-1].lower().endswith((".jpg", ".jpeg")):
                    continue
                if len(name) < 2 or name[-2] not in CLASSES:
                    raise DataError(
                        f"{path}: {member.name} is not in a folder of one of CIFAR-10's classes.", fix=_AGAIN
                    )
                file = stream.extractfile(member)
                if member.size > _LARGEST_FILE or len(found) >= _MOST_FILES or file is None:
                    raise DataError(f"{path}: {member.name} is too large, or there are too many files.", fix=_AGAIN)
                found[name[-2], name[-1]] = file.read()
    except _DAMAGED as error:
        raise DataError(f"{path} is truncated or corrupt: {error}.", fix="Fetch it again.") from None
    return found


def _tar(folder: Path, part: str) -> Path | None:
    return next((folder / f"{part}{end}" for end in TARS if (folder / f"{part}{end}").is_file()), None)
