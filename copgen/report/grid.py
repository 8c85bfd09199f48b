"""Grids of generated images, such as the previews of a navigator."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from copgen.pairs.pixels import to_uint8
from copgen.runtime.errors import UsageError
from copgen.storage.files import write_bytes

_SMALLEST_SIDE = 64
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")


def grid_picture(rows: Sequence[Tensor], *, gap: int = 2) -> Image.Image:
    """Render one row of images per tensor (N, C, H, W) in [-1, 1]; small images are enlarged by an integer factor.

    Args:
        rows: tensors of equal shape, C = 1 or 3.
        gap: white pixels between images; there is no outer margin.
    """
    factor = max(1, -(-_SMALLEST_SIDE // rows[0].shape[-1]))
    cells = torch.stack([to_uint8(row.detach().cpu()) for row in rows])
    cells = cells.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2)
    r, n, c, h, w = cells.shape
    canvas = torch.full((c, r * (h + gap) - gap, n * (w + gap) - gap), 255, dtype=torch.uint8)
    for i in range(r):
        for j in range(n):
            top, left = i * (h + gap), j * (w + gap)
            canvas[:, top : top + h, left : left + w] = cells[i, j]
    pixels = canvas.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if c == 1 else pixels)


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG atomically.

    Raises:
        UsageError: the path is a file that is not a picture, such as the weights that the picture shows.
    """
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        if start and not start.startswith(_PICTURES):
            raise UsageError(f"{path} exists, and is not a picture.", fix="Choose another file with --out.")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
