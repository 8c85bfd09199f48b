"""CIFAR-10: Python batches without unpickling, tars of JPEG files, and what is damaged."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from copgen.data.cifar10 import CLASSES, open_cifar10
from copgen.data.datasets import open_dataset
from copgen.runtime.errors import DataError
from tests.data import made
from tests.shared_data import shared
from tests.stages.small import Recorder

COUNT = 20


def rows(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (COUNT, 3072), dtype=np.uint8)


LABELS = [k % 10 for k in range(COUNT)]
WRITERS = {
    "python 2": lambda seed: made.python_2_batch(rows(seed), LABELS),
    "python 3": lambda seed: pickle.dumps({b"data": rows(seed), b"labels": LABELS, b"filenames": [b"x.png"] * COUNT}),
    "protocol 2": lambda seed: pickle.dumps({"data": rows(seed), "labels": LABELS}, protocol=2),
}


def batches(root: Path, kind: str = "python 2") -> Path:
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    return made.files(root, {name: WRITERS[kind](k) for k, name in enumerate(names)})


@pytest.mark.parametrize("kind", WRITERS)
def test_batches_are_read_in_order(tmp_path: Path, kind: str) -> None:
    source = open_dataset(batches(tmp_path, kind), "train+validation")
    assert (len(source), source.channels, source.size, source.classes) == (100, 3, (32, 32), CLASSES)
    assert source.labels is not None
    assert source.labels.tolist() == LABELS * 5
    found = open_cifar10(tmp_path, "train+validation").images
    assert torch.equal(found, torch.from_numpy(np.concatenate([rows(k) for k in range(5)])).view(-1, 3, 32, 32))
    assert torch.equal(open_cifar10(tmp_path, "test").images, torch.from_numpy(rows(5)).view(-1, 3, 32, 32))
    assert [len(open_cifar10(tmp_path, split)) for split in ("train", "validation")] == [90, 10]


def test_python_2_is_what_pickle_reads(tmp_path: Path) -> None:
    found = pickle.loads(made.python_2_batch(rows(0), LABELS), encoding="bytes")
    assert np.array_equal(found[b"data"], rows(0))
    assert found[b"labels"] == LABELS


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps({"data": Harm(), "labels": []}), "would run code"),
        (pickle.dumps({"data": rows(0)}), "no 'data' and 'labels'"),
        (pickle.dumps([1, 2]), "no 'data' and 'labels'"),
        (pickle.dumps({"data": rows(0)[:, :100], "labels": LABELS}), "3,072"),
        (pickle.dumps({"data": rows(0).astype(np.int16), "labels": LABELS}), "3,072"),
        (pickle.dumps({"data": rows(0), "labels": LABELS[:-1]}), "19 labels"),
        (pickle.dumps({"data": rows(0), "labels": [11] * COUNT}), "label"),
        (made.python_2_batch(rows(0), LABELS)[:5000], "truncated"),
        (b"", "empty"),
        (b"<!doctype html><html>", "web page"),
    ],
    ids=range(10),
)
def test_what_is_no_batch_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    (batches(tmp_path) / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        open_cifar10(tmp_path, "train")
    assert "data_batch_3" in caught.value.what


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    (batches(tmp_path) / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4"):
        open_cifar10(tmp_path, "train")


@pytest.mark.parametrize("end", ["tar", "tar.gz", "tar.xz"])
def test_tars_of_jpeg_files(tmp_path: Path, end: str) -> None:
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[end]
    for part, names in (("train", ("truck", "airplane")), ("test", ("cat",))):
        images = {f"{part}/{name}/{k}.jpg": made.image(k, side=32, format="JPEG") for name in names for k in range(5)}
        made.tar(tmp_path / f"{part}.{end}", images, mode=mode)
    events = Recorder()
    source = open_dataset(tmp_path, "train+validation", events=events)
    open_dataset(tmp_path, "validation", events=events)
    assert [f"train.{end}" in line for line in events.sentences] == [True]  # once, though it was opened twice
    assert source.labels is not None
    assert source.labels.tolist() == [0] * 5 + [9] * 5
    assert (source.size, len(open_dataset(tmp_path, "test"))) == ((32, 32), 5)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"train/airplane/1.jpg": made.image(0, side=31, format="JPEG")}, "31 x 31"),
        ({"train/airplane/1.jpg": b"no image"}, r"airplane/1\.jpg"),
        ({"train/airplane/1.jpg": made.image(0, side=32), "train/zebra/1.jpg": b""}, "zebra"),
    ],
)
def test_what_is_no_image_of_cifar_is_named(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    for part in ("train", "test"):
        made.tar(tmp_path / f"{part}.tar", members)
    with pytest.raises(DataError, match=says):
        open_cifar10(tmp_path, "train")


def test_a_truncated_tar_is_named(tmp_path: Path) -> None:
    for part in ("train", "test"):
        path = made.tar(tmp_path / f"{part}.tar.gz", {"x/cat/1.jpg": made.image(0, side=32)}, mode="w:gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"test\.tar\.gz"):
        open_cifar10(tmp_path, "test")


def test_the_published_jpeg_tars() -> None:
    source = open_dataset("cifar10", "test", root=shared("data/cifar10-jpeg").parent)
    assert (len(source), source.channels, source.size) == (10_000, 3, (32, 32))
    assert source.labels is not None
    assert source.labels.bincount().tolist() == [1000] * 10
