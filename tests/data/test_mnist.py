"""MNIST and its format IDX: gzipped or not, and what is damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from copgen.data.datasets import open_dataset
from copgen.data.mnist import open_mnist
from copgen.data.tensor_images import TensorImages
from copgen.runtime.errors import DataError
from tests.data import made
from tests.shared_data import shared


@pytest.mark.parametrize("zipped", [False, True])
def test_splits_and_pixels(tmp_path: Path, zipped: bool) -> None:
    folder = made.mnist(tmp_path, train=120, zipped=zipped)
    sources = {split: open_mnist(folder, split) for split in ("train", "validation", "test", "train+validation")}
    assert {split: len(source) for split, source in sources.items()} == {
        "train": 110,
        "validation": 10,
        "test": 10,
        "train+validation": 120,
    }
    whole = sources["train+validation"]
    assert (whole.channels, whole.size, whole.classes) == (1, (28, 28), tuple("0123456789"))
    assert whole.labels is not None
    assert whole.labels.tolist() == [k % 10 for k in range(120)]
    pixels = np.random.default_rng(120).integers(0, 256, (120, 28, 28), dtype=np.uint8)
    items = torch.tensor([5, 5, 119])
    found = whole.batch(items, torch.zeros(3, dtype=torch.int64), torch.device("cpu"))
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.from_numpy(pixels)[items][:, None].float() / 255 * 2 - 1)


def test_the_published_files_are_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    folder = shared("data/mnist")
    source = open_dataset("mnist", "test", root=folder.parent)
    assert isinstance(source, TensorImages)
    assert source.labels is not None
    assert source.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    assert torch.equal(source.images[:, 0], read_image_file(str(tmp_path / "t10k-images-idx3-ubyte")))
    assert torch.equal(source.labels, read_label_file(str(tmp_path / "t10k-labels-idx1-ubyte")))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("left", [0, 3, 10, 15, 16, 1000, -1])
def test_a_truncated_file_is_named(tmp_path: Path, zipped: bool, left: int) -> None:
    folder = made.mnist(tmp_path, zipped=zipped)
    path = folder / ("train-images-idx3-ubyte" + (".gz" if zipped else ""))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        open_mnist(folder, "train")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("train-labels-idx1-ubyte", made.idx(np.zeros(41, np.uint8)), "41 labels"),
        ("train-labels-idx1-ubyte", made.idx(np.full(40, 10, np.uint8)), "label 10"),
        ("train-labels-idx1-ubyte", made.idx(np.zeros((40, 1), np.uint8)), "2 dimensions, not 1"),
        ("train-images-idx3-ubyte", made.idx(np.zeros((40, 28, 28), np.uint8)) + b"x", "too long"),
        ("train-images-idx3-ubyte", b"\0\0\x0d\x03" + bytes(12), "not an IDX file of bytes"),
        ("train-images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12, "truncated"),
        ("train-images-idx3-ubyte", b"\x1f\x8b\x09 not gzip in any way", "damaged"),
        ("train-images-idx3-ubyte", made.idx(np.zeros((0, 28, 28), np.uint8)), "labels"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    folder = made.mnist(tmp_path)
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        open_mnist(folder, "train")
    assert name in caught.value.what


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (made.mnist(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    assert len(open_dataset(tmp_path, "train")) == 40
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        open_dataset(tmp_path, "test")
