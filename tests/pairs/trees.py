"""Trees of images as the authors' scripts write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHAPE = (3, 6, 5)


def picture(seed: int, shape: tuple[int, int, int] = SHAPE) -> NDArray[Any]:
    """(H, W, C) noise, or (H, W) of one channel."""
    channels, height, width = shape
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def tree(
    folder: Path,
    pairs: Mapping[str, int] = MappingProxyType({"n01": 3, "n02": 2}),
    *,
    roles: Sequence[str] = ("anchor", "neighbor"),
    shape: tuple[int, int, int] = SHAPE,
    end: str = "png",
) -> Path:
    """A data set with this many pairs in each class; image k of all is `picture(k)`, in PNG without loss."""
    count = 0
    for number, (name, of_class) in enumerate(pairs.items()):
        place = folder / "train" / name
        place.mkdir(parents=True)
        for sample in range(of_class):
            for role in roles:
                name = f"seed{number:04d}_sample{sample:05d}_{role}.{end}"
                Image.fromarray(picture(count, shape)).save(place / name)
                count += 1
        (place / "z_dataset.pkl").write_bytes(b"a pickle that nobody opens")
    return folder
