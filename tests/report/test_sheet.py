"""Labelled sheets: the position of every image, and a label to the left of each row."""

from __future__ import annotations

import numpy as np
import torch

from copgen.report.grid import grid_picture
from copgen.report.sheet import labelled_sheet


def test_images_are_whole_and_labels_stand_before_them() -> None:
    rows = [(label, torch.rand(3, 3, 64, 64) * 2 - 1) for label in ("anchor", "0.5 x", "a much longer label")]
    sheet = np.asarray(labelled_sheet("what it is", rows))
    grid = np.asarray(grid_picture([images for _, images in rows]))
    left = sheet.shape[1] - grid.shape[1] - 8
    top = sheet.shape[0] - grid.shape[0] - 8
    assert np.array_equal(sheet[top : top + grid.shape[0], left : left + grid.shape[1]], grid)
    assert (sheet[:top] < 128).any()  # the heading
    for place in range(3):
        assert (sheet[top + 66 * place : top + 66 * place + 64, :left] < 128).any()
    assert (sheet[:, left - 2 : left] == 255).all()


def test_one_channel_will_do_and_a_long_heading_is_not_cut() -> None:
    picture = labelled_sheet("w" * 200, [("x", torch.zeros(1, 1, 8, 8))])
    assert picture.mode == "RGB"
    assert picture.width > 200 * 5


def test_text_of_any_name_is_drawn_escaped() -> None:
    images = torch.zeros(1, 1, 8, 8)
    odd = labelled_sheet("caf\udce9\n", [("\x1b[31m", images)])
    assert odd.tobytes() == labelled_sheet("caf\\xe9\\n", [("\\x1b[31m", images)]).tobytes()
