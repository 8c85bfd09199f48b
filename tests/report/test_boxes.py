"""Sheets of photos with boxes: where a box is drawn, in its colour, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest

from copgen.report.boxes import COLUMNS, SIDE, Box, boxed, boxed_sheet

RED = (255, 0, 0)


def is_red(pixels: np.ndarray) -> np.ndarray:
    found: np.ndarray = (pixels == RED).all(axis=-1)
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [24, 480])
def test_a_box_is_drawn_to_scale(side: int, channels: int) -> None:
    scale = SIDE / side
    corners = (side * 0.25, side * 0.5, side * 0.75, float(side))
    photo = np.asarray(boxed(np.zeros((side, side // 2 * 2, channels), np.uint8), [Box(corners, "", "red")]))
    assert photo.shape == (SIDE, SIDE, 3)
    rows, columns = np.nonzero(is_red(photo))
    assert (columns.min(), rows.min()) == (round(scale * corners[0]), round(scale * corners[1]))
    assert (columns.max(), rows.max()) == (round(scale * corners[2]) - 1, SIDE - 1)


def test_boxes_of_any_size_and_odd_names_are_drawn() -> None:
    blank = np.zeros((10, 40, 3), np.uint8)
    for corners in ((0.0, 0.0, 40.0, 10.0), (5.0, 5.0, 5.0, 5.0), (39.9, 9.9, 40.0, 10.0)):
        for below in (False, True):
            assert is_red(np.asarray(boxed(blank, [Box(corners, "caf\udce9\n" * 30, "red", below)]))).any()


def test_the_sheet_has_every_photo_and_its_heading() -> None:
    whites = [(np.full((20, 30, 3), 200, np.uint8), [Box((1.0, 1.0, 9.0, 9.0), "cat", "red")])] * (COLUMNS + 1)
    sheet = np.asarray(boxed_sheet("what it is", whites))
    assert (sheet[:20] < 128).any()
    assert sheet.shape[1] >= COLUMNS * SIDE
    grey = (sheet == 200).all(axis=-1)
    assert grey.sum() > 0.8 * (COLUMNS + 1) * SIDE * SIDE * 20 / 30 * 0.8
    assert np.asarray(boxed_sheet("w" * 400, whites[:1])).shape[1] > 400 * 5
