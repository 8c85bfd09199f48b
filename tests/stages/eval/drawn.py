"""Datasets whose classes can be told apart, drawn for the tests: a bright bar whose place and colour is the class."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data import made

COLOURS = {"cat": 0, "dog": 1, "owl": 2}


def drawing(label: int, seed: int, *, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: noise, and a bar of the class's colour at its place."""
    image = np.random.default_rng(seed).integers(0, 120, (height, width, 3), dtype=np.uint8)
    third = width // 3
    image[:, label * third : (label + 1) * third, label] = 255
    return image


def photos(root: Path, *, train: int = 20, test: int = 6, side: int = 24) -> Path:
    """train/ and val/ with class folders; images of different sizes."""
    contents = {}
    for split, count in (("train", train), ("val", test)):
        for name, label in COLOURS.items():
            for k in range(count):
                stream = io.BytesIO()
                seed = 1000 * label + k + (500 if split == "val" else 0)
                size = {"height": side + k % 5, "width": side + k % 7}
                Image.fromarray(drawing(label, seed, **size)).save(stream, "PNG")
                contents[f"{split}/{name}/{k:03d}.png"] = stream.getvalue()
    return made.files(root, contents)


def mnist(root: Path, *, train: int = 200, test: int = 60) -> Path:
    """MNIST's files with ten classes: a bar at the class's place."""
    root.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.random.default_rng(count).integers(0, 100, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, 2 * label + 2 : 2 * label + 6] = 255
        (root / f"{part}-images-idx3-ubyte").write_bytes(made.idx(images))
        (root / f"{part}-labels-idx1-ubyte").write_bytes(made.idx(labels))
    return root
