"""The training images of a GAN: by sample index, of one size, and refused if they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copgen.runtime.errors import CopgenError, DataError, ExitCode, UsageError
from copgen.stages.generator import images as module
from copgen.stages.generator.gan import FitGanSettings
from copgen.stages.generator.images import load_images

CPU = torch.device("cpu")


def settings(dataset: Path | str, **changes: object) -> FitGanSettings:
    return FitGanSettings.model_validate({"dataset": str(dataset), "updates": 1, "batch": 8, **changes})


def folder(path: Path, *sizes: tuple[int, int], colour: bool = False, count: int = 10) -> Path:
    """Images of these (height, width) in turn."""
    path.mkdir()
    draw = np.random.default_rng(0)
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        shape = (height, width, 3) if colour else (height, width)
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(path / f"{number:02d}.png")
    return path


def test_a_sample_is_the_same_image_in_any_batch_and_each_epoch_has_all() -> None:
    images = load_images(settings("digits"), CPU)
    whole = images[range(64)]
    assert whole.shape == (64, 1, 8, 8)
    assert torch.equal(images[range(16, 32)], whole[16:32])
    count = len(images.pixels)
    epochs = [images[range(epoch * count, (epoch + 1) * count)] for epoch in range(2)]
    assert not torch.equal(*epochs)
    assert torch.equal(*(torch.unique(epoch.flatten(1), dim=0) for epoch in epochs))


def test_mirroring_turns_half_of_the_samples() -> None:
    plain, mirrored = (load_images(settings("digits", mirror=mirror), CPU)[range(400)] for mirror in (False, True))
    same = (plain == mirrored).all(dim=3).all(dim=2)[:, 0]
    assert torch.equal(mirrored[~same], plain[~same].flip(3))
    assert 0.4 < float(same.float().mean()) < 0.6


def test_a_folder_of_photos_is_cropped_and_resized(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", (40, 30), (20, 25), colour=True)
    images = load_images(settings(photos, image_size=16), CPU)
    assert images[range(8)].shape == (8, 3, 16, 16)
    grey = load_images(settings(photos, image_size=16, channels=1), CPU)
    assert grey[range(8)].shape == (8, 1, 16, 16)


def test_the_size_is_that_of_the_images_if_they_have_one(tmp_path: Path) -> None:
    class_folder = tmp_path / "classes"
    class_folder.mkdir()
    folder(class_folder / "a", (12, 12))
    folder(class_folder / "b", (12, 12))
    images = load_images(settings(class_folder, image_size=12), CPU)
    assert images.size == 12
    assert images.classes == ("a", "b")


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        (((16, 16), (12, 12)), "may have different"),
        (((16, 16),), "may have different"),
        (((16, 12),), "image-size"),
        (((9, 9),), "image-size"),
    ],
)
def test_images_of_no_size_or_an_unsuitable_one_need_the_setting(
    tmp_path: Path, sizes: tuple[tuple[int, int], ...], named: str
) -> None:
    photos = folder(tmp_path / "photos", *sizes)
    with pytest.raises(UsageError) as caught:
        load_images(settings(photos), CPU)
    assert named in f"{caught.value.what} {caught.value.fix}"
    assert "--image-size" in caught.value.fix


@pytest.mark.parametrize("size", [7, 9, 30, 100])
def test_an_unsuitable_setting_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="image_size"):
        settings("digits", image_size=size)


def test_a_batch_has_whole_groups() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        settings("digits", batch=12)


@pytest.mark.parametrize(
    ("dataset", "code"), [("empty", ExitCode.DATA), ("missing/", ExitCode.DATA), ("mnits", ExitCode.USAGE)]
)
def test_a_dataset_without_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, code: ExitCode
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CopgenError) as caught:
        load_images(settings(f"./{dataset}" if dataset == "empty" else dataset), CPU)
    assert caught.value.code == code


def test_fewer_images_than_a_batch_are_refused(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", (16, 16), count=10)
    with pytest.raises(DataError, match=r"9 .*16"):
        load_images(settings(photos, image_size=16, batch=16), CPU)


def test_more_than_memory_should_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="1000 B"):
        load_images(settings("digits"), CPU)
