"""Contact sheets of pairs: one column per pair, the anchor above its positives, and a caption below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from copgen.pairs.pixels import from_uint8
from copgen.report.grid import grid_picture
from copgen.runtime.printable import printable

_MARGIN, _GAP = 8, 4  # pixels
_MOST_COLUMNS, _WIDTH = 8, 1100  # about the width of a screen, pixels


@dataclass(frozen=True, eq=False)
class Column:
    """One pair of the sheet.

    Attributes:
        images: (1 + positives, C, H, W) uint8: the anchor, then the positives.
        caption: lines of text below the images.
    """

    images: Tensor
    caption: tuple[str, ...]


def contact_sheet(heading: str, columns: Sequence[Column]) -> Image.Image:
    """Render a sheet on white: a heading, then bands of columns, wrapped to the width of a screen.

    Args:
        heading: a line above the images.
        columns: at least one; all of the same shape.
    """
    heading = printable(heading)
    columns = [replace(column, caption=tuple(map(printable, column.caption))) for column in columns]
    font = ImageFont.load_default()
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    line = int(font.getbbox("Ag")[3]) + 2
    images = len(columns[0].images)
    labels = ["anchor", *("positive" if images == 2 else f"positive {j}" for j in range(1, images))]
    left = max(int(measure.textlength(label, font=font)) for label in labels) + 2 * _MARGIN
    cell = grid_picture([from_uint8(columns[0].images[:1])]).size
    text = max(int(measure.textlength(line, font=font)) + 1 for column in columns for line in column.caption)
    gap = max(_GAP, text + _GAP - cell[0])
    across = max(1, min(_MOST_COLUMNS, len(columns), _WIDTH // (cell[0] + gap)))
    bands = [columns[first : first + across] for first in range(0, len(columns), across)]
    grids = [grid_picture(list(_rows(band)), gap=gap) for band in bands]
    captions = max(len(column.caption) for column in columns) * line + _MARGIN
    width = max(left + max(grid.width for grid in grids), _MARGIN + int(measure.textlength(heading, font=font)) + 1)
    height = line + 2 * _MARGIN + sum(grid.height + captions + _MARGIN for grid in grids)
    sheet = Image.new("RGB", (width + _MARGIN, height), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), heading, fill="black", font=font)
    top = line + 2 * _MARGIN
    for band, grid in zip(bands, grids, strict=True):
        sheet.paste(grid, (left, top))
        for place, label in enumerate(labels):
            pen.text((_MARGIN, top + place * (cell[1] + gap) + (cell[1] - line) // 2), label, fill="black", font=font)
        for place, column in enumerate(band):
            for row, words in enumerate(column.caption):
                where = (left + place * (cell[0] + gap), top + grid.height + 2 + row * line)
                pen.text(where, words, fill="black", font=font)
        top += grid.height + captions + _MARGIN
    return sheet


def _rows(band: Sequence[Column]) -> list[Tensor]:
    """One (N, C, H, W) tensor in [-1, 1] for the anchors, and one for each positive."""
    stacked = torch.stack([column.images for column in band])
    return [from_uint8(stacked[:, row]) for row in range(stacked.shape[1])]
