"""Image grids: position and size of each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copgen.pairs.pixels import to_uint8
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.errors import UsageError


def images(count: int, channels: int, side: int, seed: int) -> torch.Tensor:
    return 2.0 * torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed)) - 1.0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "factor"), [(8, 8), (28, 3), (64, 1), (100, 1)])
def test_every_image_has_its_cell_and_the_gaps_are_white(channels: int, side: int, factor: int) -> None:
    rows = [images(3, channels, side, seed) for seed in (0, 1)]
    pixels = np.asarray(grid_picture(rows, gap=2))
    cell = factor * side
    assert pixels.shape == (2 * cell + 2, 3 * cell + 4, 3)[: 2 if channels == 1 else 3]
    covered = np.zeros(pixels.shape[:2], bool)
    for i, row in enumerate(rows):
        for j, image in enumerate(to_uint8(row).permute(0, 2, 3, 1).numpy()):
            top, left = i * (cell + 2), j * (cell + 2)
            shown = pixels[top : top + cell, left : left + cell]
            expected = image.repeat(factor, axis=0).repeat(factor, axis=1)
            assert np.array_equal(shown.reshape(expected.shape), expected)
            covered[top : top + cell, left : left + cell] = True
    assert (pixels[~covered] == 255).all()
    assert (~covered).sum() == 2 * (3 * cell + 4) + 2 * 2 * 2 * cell


def test_images_that_need_a_gradient_can_be_drawn() -> None:
    row = images(2, 1, 8, 0).requires_grad_()
    assert grid_picture([row]).size == (2 * 64 + 2, 64)


def test_a_saved_picture_holds_the_same_pixels(tmp_path: Path) -> None:
    picture = grid_picture([images(2, 3, 8, 0)], gap=5)
    path = tmp_path / "previews" / "picture.png"
    save_picture(path, picture)
    with Image.open(path) as read:
        assert read.format == "PNG"
        assert np.array_equal(np.asarray(read), np.asarray(picture))
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]


def test_a_picture_replaces_pictures_only(tmp_path: Path) -> None:
    picture = grid_picture([images(1, 3, 64, 0)])
    for _ in range(2):
        save_picture(tmp_path / "a.png", picture)
    (tmp_path / "empty.png").touch()
    save_picture(tmp_path / "empty.png", picture)
    (tmp_path / "navigator.safetensors").write_bytes(b"weights")
    with pytest.raises(UsageError, match=r"navigator\.safetensors"):
        save_picture(tmp_path / "navigator.safetensors", picture)
    assert (tmp_path / "navigator.safetensors").read_bytes() == b"weights"
