"""Contact sheets: every pair in its own column, its caption below, bands no wider than a screen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from copgen.pairs.pixels import from_uint8
from copgen.report.contact_sheet import Column, contact_sheet
from copgen.report.grid import grid_picture


def column(seed: int, *, positives: int = 1, side: int = 64, channels: int = 3, caption: str = "x") -> Column:
    draw = torch.Generator().manual_seed(seed)
    shape = (1 + positives, channels, side, side)
    return Column(torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw), (caption, f"d {seed}"))


def places(sheet: np.ndarray, part: np.ndarray) -> list[tuple[int, int]]:
    """The positions of a part in a sheet, found by its first row of pixels."""
    rows = np.lib.stride_tricks.sliding_window_view(sheet, part[:1].shape)[:, :, 0, 0]
    found = np.argwhere((rows == part[0]).all(axis=(-1, -2)))
    height, width = part.shape[:2]
    return [(y, x) for y, x in found.tolist() if np.array_equal(sheet[y : y + height, x : x + width], part)]


@pytest.mark.parametrize(("count", "bands"), [(1, 1), (8, 1), (9, 2), (17, 3)])
def test_every_image_is_there_once_in_order(count: int, bands: int) -> None:
    columns = [column(seed) for seed in range(count)]
    sheet = np.asarray(contact_sheet("what it is", columns))
    found = []
    for one in columns:
        anchor, positive = (np.asarray(grid_picture([from_uint8(image[None])])) for image in one.images)
        ((top, left),), ((below, same),) = places(sheet, anchor), places(sheet, positive)
        assert (below > top, same) == (True, left)
        found.append((top, left))
    assert found == sorted(found)
    assert len({top for top, _ in found}) == bands
    assert sheet.shape[1] < 1200


def test_long_captions_do_not_run_into_each_other() -> None:
    narrow = contact_sheet("x", [column(0), column(1)])
    wide = contact_sheet("x", [column(0, caption="class n01440764 of many"), column(1)])
    assert wide.width > narrow.width + 40


@pytest.mark.parametrize(("side", "channels", "positives"), [(8, 1, 1), (256, 3, 4)])
def test_small_and_large_images_and_many_positives(side: int, channels: int, positives: int) -> None:
    columns = [column(seed, side=side, channels=channels, positives=positives) for seed in range(9)]
    sheet = contact_sheet("x", columns)
    assert sheet.mode == "RGB"
    assert sheet.width < 1200
    assert sheet.height > (1 + positives) * max(side, 64) * (9 // 8)


def test_names_of_any_characters_are_drawn_escaped() -> None:
    odd = contact_sheet("caf\udce9\n", [column(0, caption="\x1b[31m")])
    assert odd.tobytes() == contact_sheet("caf\\xe9\\n", [column(0, caption="\\x1b[31m")]).tobytes()
