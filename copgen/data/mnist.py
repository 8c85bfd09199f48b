"""MNIST, and datasets in its format (Fashion-MNIST, KMNIST): four IDX files, gzipped or not.

The test split is the published one. Validation is a tenth of the 60,000 training images (data/splits.py).
"""

from __future__ import annotations

from pathlib import Path

import torch

from copgen.data.idx import read_idx
from copgen.data.splits import AnySplit, rows_of
from copgen.data.tensor_images import TensorImages
from copgen.runtime.errors import DataError

CLASSES = 10
_AGAIN = "Download both files again; other data with more classes can be read as class folders or shards."
PARTS = {"train": "train", "test": "t10k"}
FILES = tuple(f"{part}-{kind}-ubyte" for part in PARTS.values() for kind in ("images-idx3", "labels-idx1"))


def is_mnist(folder: Path) -> bool:
    """Whether a folder holds files of this format."""
    return any(_file(folder, name) is not None for name in FILES)


def open_mnist(folder: Path, split: AnySplit) -> TensorImages:
    """A split, (N, 1, 28, 28).

    Raises:
        DataError: a file is missing or damaged, there are more labels than images or fewer, or a label is not a digit.
    """
    part = PARTS["test" if split == "test" else "train"]
    paths = [_present(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
    images, of_images = read_idx(paths[0], dimensions=3)
    labels, of_labels = read_idx(paths[1], dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{paths[0]} has {len(images):,} images, but {paths[1]} has {len(labels):,} labels.", fix=_AGAIN
        )
    if not images.numel():
        raise DataError(f"{paths[0]} has no images.", fix=_AGAIN)
    if int(labels.max()) >= CLASSES:
        raise DataError(f"{paths[1]} has the label {int(labels.max())}; digits are 0 to {CLASSES - 1}.", fix=_AGAIN)
    source = TensorImages(
        images[:, None],
        labels.to(torch.int64),
        classes=tuple(map(str, range(CLASSES))),
        inputs={paths[0].name: of_images, paths[1].name: of_labels},
    )
    return source if split == "test" else source.select(rows_of(split, source.labels, len(source)))


def _file(folder: Path, name: str) -> Path | None:
    """A file of the dataset: as published, unpacked, or as some tools name it (train-images.idx3-ubyte)."""
    names = (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz")
    return next((folder / one for one in names if (folder / one).is_file()), None)


def _present(folder: Path, name: str) -> Path:
    if (path := _file(folder, name)) is None:
        raise DataError(
            f"{folder / name} is missing (also as {name}.gz).", fix=f"MNIST has the files {', '.join(FILES)}."
        )
    return path
