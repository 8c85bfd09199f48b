"""Sheets of photos with boxes on them: those that are annotated, and those that a detector found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from copgen.runtime.printable import printable

SIDE = 240  # longer side of a photo in the sheet, pixels
COLUMNS = 4
_MARGIN, _GAP, _LINE = 8, 6, 2  # pixels; _LINE is the width of a box's line


@dataclass(frozen=True)
class Box:
    """A box on a photo.

    Attributes:
        corners: (x1, y1, x2, y2) in pixels of the photo, whose left upper corner is at (0, 0).
        text: beside it; may be empty.
        colour: of the line, as Pillow has them.
        below: whether the text stands inside the lower edge, not the upper one.
    """

    corners: tuple[float, float, float, float]
    text: str
    colour: str
    below: bool = False


def boxed_sheet(heading: str, photos: Sequence[tuple[np.ndarray, Sequence[Box]]]) -> Image.Image:
    """Render photos in rows on white, below a heading.

    Args:
        heading: a line above the photos.
        photos: pixels (H, W, 1 or 3) uint8, and the boxes of each, drawn in their order.
    """
    heading, font = printable(heading), ImageFont.load_default()
    line = int(font.getbbox("Ag")[3]) + 2
    words = int(ImageDraw.Draw(Image.new("L", (1, 1))).textlength(heading, font=font)) + 1
    across = min(COLUMNS, len(photos))
    width = max(across * (SIDE + _GAP) - _GAP, words) + 2 * _MARGIN
    rows = [[boxed(*photo) for photo in photos[first : first + across]] for first in range(0, len(photos), across)]
    heights = [max(photo.height for photo in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (width, line + 2 * _MARGIN + sum(heights) - _GAP + _MARGIN), "white")
    ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN), heading, fill="black", font=font)
    top = line + 2 * _MARGIN
    for row, height in zip(rows, heights, strict=True):
        for place, photo in enumerate(row):
            sheet.paste(photo, (_MARGIN + place * (SIDE + _GAP), top))
        top += height
    return sheet


def boxed(pixels: np.ndarray, boxes: Sequence[Box]) -> Image.Image:
    """A photo, resized to `SIDE` pixels on its longer side, with boxes."""
    photo = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    scale = SIDE / max(photo.size)
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    photo = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))), how)
    pen, font = ImageDraw.Draw(photo), ImageFont.load_default()
    line = int(font.getbbox("Ag")[3]) + 1
    for box in boxes:
        x1, y1, x2, y2 = (scale * corner for corner in box.corners)
        right, low = min(max(x2, x1 + 1), photo.width) - 1, min(max(y2, y1 + 1), photo.height) - 1
        pen.rectangle((x1, y1, max(right, x1), max(low, y1)), outline=box.colour, width=_LINE)
        if text := printable(box.text):
            length = int(pen.textlength(text, font=font)) + 3
            left = min(max(x1, 0), max(photo.width - length, 0))
            edge = min(max(low - line if box.below else y1, 0), photo.height - line)
            pen.rectangle((left, edge, left + length, edge + line), fill=box.colour)
            pen.text((left + 2, edge), text, fill="white", font=font)
    return photo
