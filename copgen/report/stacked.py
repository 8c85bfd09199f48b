"""Several sheets in one picture, below each other."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

_GAP = 8  # pixels


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """The pictures from top to bottom, on white, aligned on the left.

    Args:
        pictures: at least one.
    """
    height = sum(picture.height for picture in pictures) + _GAP * (len(pictures) - 1)
    canvas = Image.new("RGB", (max(picture.width for picture in pictures), height), "white")
    top = 0
    for picture in pictures:
        canvas.paste(picture, (0, top))
        top += picture.height + _GAP
    return canvas
