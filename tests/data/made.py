"""Small datasets in the formats that copgen reads, made for the tests."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, side: int = 8, channels: int = 3) -> np.ndarray:
    """(side, side, channels) uint8 noise; without the last dimension if grey."""
    shape = (side, side, channels) if channels == 3 else (side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def image(seed: int, *, side: int = 8, channels: int = 3, format: str = "PNG") -> bytes:
    """An image file of noise."""
    stream = io.BytesIO()
    Image.fromarray(pixels(seed, side, channels)).save(stream, format)
    return stream.getvalue()


def files(root: Path, contents: Mapping[str, bytes]) -> Path:
    """Files below a folder."""
    for name, data in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def class_folders(root: Path, count: int = 2, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """`count` images in each class folder."""
    names = {f"{name}/{k:02d}.png": image(100 * c + k) for c, name in enumerate(classes) for k in range(count)}
    return files(root, names)


def idx(array: np.ndarray) -> bytes:
    """An IDX file of uint8."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist(root: Path, *, train: int = 40, test: int = 10, zipped: bool = False) -> Path:
    """The four files of MNIST, small; the label of image k is k mod 10."""
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            data = idx(array)
            (root / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(data) if zipped else data)
    return root


def tar(path: Path, members: Mapping[str, bytes], *, format: int = tarfile.USTAR_FORMAT, mode: str = "w") -> Path:
    """A tar of these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=format) as stream:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            stream.addfile(info, io.BytesIO(data))
    return path


def python_2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """A pickle of protocol 2 with the byte strings of Python 2, as the published batches of CIFAR-10 are."""

    def text(data: bytes) -> bytes:
        return b"T" + struct.pack("<I", len(data)) + data

    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in images.shape) + b"t"
    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R"
        + b"(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    empty = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85" + text(b"b") + b"\x87R"
    array = empty + b"(K\x01" + shape + dtype + b"\x89" + text(images.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes((label,)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."
