"""Images in order, of one size and colour, for evaluation."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from copgen.data.batches import batches
from copgen.data.datasets import open_dataset
from copgen.data.image_folder import open_folder
from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import DataError, UsageError
from tests.data import made


def picture(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(made.pixels(seed, 12)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos of different sizes."""
    for k, (width, height) in enumerate([(60, 40), (33, 50), (32, 32), (200, 90), (20, 24)]):
        stream = io.BytesIO()
        picture(width, height, k).save(stream, "PNG")
        made.files(tmp_path, {f"{k}.png": stream.getvalue()})
    return tmp_path


def test_tensors_come_as_they_are(tmp_path: Path) -> None:
    source = open_dataset("digits", "test")
    found = list(batches(source, batch=100))
    assert [len(images) for images in found] == [100, 100, 100, 68]
    assert torch.equal(torch.cat(found), source.batch(torch.arange(368), torch.zeros(368), torch.device("cpu")))  # type: ignore[union-attr]


def test_files_are_resized_and_cropped_as_in_torchvision(photos: Path) -> None:
    source = open_folder(photos, "train+validation")
    (found,) = batches(source, size=28, shorter_side=32)
    assert (found.shape, found.dtype) == ((5, 3, 28, 28), torch.float32)
    plain = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(28)])
    for k in range(5):
        with Image.open(photos / f"{k}.png") as image:
            wanted = from_uint8(torch.from_numpy(np.asarray(plain(image)).copy()).permute(2, 0, 1))
        assert float((found[k] - wanted).abs().mean()) < 2 / 127.5


def test_an_image_of_that_size_is_not_touched(photos: Path) -> None:
    (found,) = batches(open_folder(photos, "train+validation"), size=32, items=torch.tensor([2]))
    with Image.open(photos / "2.png") as image:
        assert torch.equal(found[0], from_uint8(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)))


def test_other_colours(tmp_path: Path, photos: Path) -> None:
    (grey,) = batches(open_folder(photos, "train+validation"), size=16, channels=1)
    assert grey.shape == (5, 1, 16, 16)
    (digits,) = batches(open_dataset("digits", "validation"), channels=3, size=16)
    assert digits.shape == (181, 3, 16, 16)
    assert torch.equal(digits[:, 0], digits[:, 2])


def test_different_sizes_need_one(photos: Path) -> None:
    with pytest.raises(UsageError, match="different sizes"):
        next(batches(open_folder(photos, "train")))


def test_an_unreadable_image_is_named(photos: Path) -> None:
    (photos / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png"):
        list(batches(open_folder(photos, "train+validation"), size=8))


def test_no_items_give_no_batches(photos: Path) -> None:
    assert list(batches(open_folder(photos, "train"), size=32, items=torch.arange(0))) == []


def test_the_next_batch_is_decoded_meanwhile_and_no_further_one(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, read, ahead = open_folder(photos, "train+validation"), set(), threading.Event()
    encoded = type(source).encoded

    def noted(self: Any, item: int, column: int) -> bytes:
        read.add(item)
        if read >= {2, 3}:
            ahead.set()
        return encoded(self, item, column)

    monkeypatch.setattr(type(source), "encoded", noted)
    decoded = batches(source, size=32, batch=2, workers=1)
    next(decoded)
    assert ahead.wait(30)
    decoded.close()  # type: ignore[attr-defined]
    assert read == {0, 1, 2, 3}
