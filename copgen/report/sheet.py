"""Labelled sheets: a heading, then rows of images with a label to the left of each."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from copgen.report.grid import grid_picture
from copgen.runtime.printable import printable

_MARGIN = 8  # pixels


def labelled_sheet(heading: str, rows: Sequence[tuple[str, Tensor]], *, gap: int = 2) -> Image.Image:
    """Render a sheet on white.

    Args:
        heading: a line above the images.
        rows: (label, images (N, C, H, W) in [-1, 1]), all of the same shape.
        gap: white pixels between images.
    """
    heading, labels = printable(heading), [printable(label) for label, _ in rows]
    grid = grid_picture([images for _, images in rows], gap=gap)
    height = (grid.height + gap) // len(rows)
    font = ImageFont.load_default()
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))

    def width_of(text: str) -> int:
        return int(measure.textlength(text, font=font)) + 1

    line = int(font.getbbox("Ag")[3]) + 1
    left = max(width_of(label) for label in labels) + 2 * _MARGIN
    top = line + 2 * _MARGIN
    width = max(left + grid.width + _MARGIN, width_of(heading) + 2 * _MARGIN)
    sheet = Image.new("RGB", (width, top + grid.height + _MARGIN), "white")
    sheet.paste(grid, (left, top))
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), heading, fill="black", font=font)
    for place, label in enumerate(labels):
        pen.text((_MARGIN, top + place * height + (height - line) // 2), label, fill="black", font=font)
    return sheet
