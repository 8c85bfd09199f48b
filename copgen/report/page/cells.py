"""The images in the previews of runs: rows of sixteen, cut out, and set together again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from copgen.pairs.pillow import from_pillow, header, to_pillow
from copgen.runtime.errors import DataError

COUNT = 16  # images in a row of a preview
GAP = 2  # pixels between them, white
LARGEST = 128  # side of a shown image, pixels


@dataclass(frozen=True, eq=False)
class Sheet:
    """The images of a preview: rows[r][k], all of one size; small ones without their enlargement."""

    rows: list[list[Image.Image]]


def read_sheet(path: Path) -> Sheet:
    """Cut a preview into its images.

    Raises:
        DataError: it is not a picture, or not one of rows of sixteen square images.
    """
    try:
        data = path.read_bytes()
        mode, height, width = header(data, "png")
        picture = to_pillow(from_pillow(data, "png", (1 if mode == "L" else 3, height, width)))
    except (OSError, ValueError):
        raise DataError(f"{path} is not a readable picture.") from None
    side, left = divmod(picture.width + GAP, COUNT)
    side -= GAP
    rows, over = divmod(picture.height + GAP, side + GAP) if side > 0 else (0, 1)
    if left or over or rows < 1:
        raise DataError(f"{path} does not consist of rows of {COUNT} square images.")
    cut = [
        [
            picture.crop((k * (side + GAP), r * (side + GAP), k * (side + GAP) + side, r * (side + GAP) + side))
            for k in range(COUNT)
        ]
        for r in range(rows)
    ]
    factor = _enlargement([image for row in cut for image in row])
    small = min(side // factor, LARGEST)
    if small == side:
        return Sheet(cut)
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
    return Sheet([[image.resize((small, small), how) for image in row] for row in cut])


def _enlargement(images: Sequence[Image.Image]) -> int:
    """By how much generated images smaller than 64 pixels were enlarged, without interpolation."""
    pixels = np.stack([np.asarray(image) for image in images])
    side = pixels.shape[1]
    for factor in range(side // 4, 1, -1):
        if side % factor == 0:
            blocks = pixels.reshape(len(pixels), side // factor, factor, side // factor, factor, -1)
            if (blocks == blocks[:, :, :1, :, :1]).all():
                return factor
    return 1


def mosaic(images: Sequence[Image.Image], across: int, *, gap: int = 1) -> Image.Image:
    """Images in rows of so many, with transparent gaps."""
    side, mode = images[0].width, "LA" if images[0].mode == "L" else "RGBA"
    down = math.ceil(len(images) / across)
    whole = Image.new(mode, (across * (side + gap) - gap, down * (side + gap) - gap))
    for k, image in enumerate(images):
        whole.paste(image.convert(mode), (k % across * (side + gap), k // across * (side + gap)))
    return whole


def same(one: Sequence[Image.Image], other: Sequence[Image.Image]) -> bool:
    """Whether two rows show the same images, as those of two runs with the same generator and seed."""
    return [image.tobytes() for image in one] == [image.tobytes() for image in other]
