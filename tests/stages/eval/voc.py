"""VOC's classification task in small: photos with one bar of the class's colour for each class that is in them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data import made

CLASSES = ("cat", "dog", "owl")


def labels(count: int, seed: int) -> np.ndarray:
    """(N, 3): 1, -1, and a few 0; every class is in about half of the images."""
    draw = np.random.default_rng(seed)
    found: np.ndarray = np.where(draw.random((count, 3)) < 0.5, 1, -1)
    found[draw.random((count, 3)) < 0.05] = 0
    return found


def photo(row: np.ndarray, seed: int) -> bytes:
    """A jpeg with bars of the classes that are 1, and dim ones of those that are 0."""
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 100, (24 + seed % 3, 30 + seed % 4, 3), dtype=np.uint8)
    for number, label in enumerate(row):
        if label >= 0:
            image[:, 8 * number + 4 : 8 * number + 9, number] = 255 if label else 160
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def devkit(root: Path, *, trainval: int = 45, test: int = 24) -> Path:
    """VOCdevkit with VOC2007."""
    year, contents = "VOC2007", {}
    for name, count, seed in (("trainval", trainval, 0), ("test", test, 1)):
        there = labels(count, seed)
        ids = [f"{1000 * seed + k:06d}" for k in range(count)]
        for number, one in enumerate(CLASSES):
            lines = "".join(f"{image} {label:2d}\n" for image, label in zip(ids, there[:, number], strict=True))
            contents[f"{year}/ImageSets/Main/{one}_{name}.txt"] = lines.encode()
        contents[f"{year}/ImageSets/Main/{name}.txt"] = "".join(f"{image}\n" for image in ids).encode()
        for k, image in enumerate(ids):
            contents[f"{year}/JPEGImages/{image}.jpg"] = photo(there[k], 1000 * seed + k)
    return made.files(root, contents)
