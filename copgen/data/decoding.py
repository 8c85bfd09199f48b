"""Decode an image file into uint8 pixels; whatever a decoder raises becomes a DataError that names the image."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from copgen.runtime.errors import DataError

MODES = {1: "L", 3: "RGB"}


def decode(data: bytes, channels: int, where: str) -> Tensor:
    """The pixels (C, H, W), uint8, converted to `channels` 1 or 3.

    Args:
        data: the file: png, jpg, webp, ...
        channels: 1 (grey) or 3 (RGB).
        where: the image's name in messages.

    Raises:
        DataError: it is not an image, or is damaged.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image.convert(MODES[channels]), dtype=np.uint8)
    except Exception as error:
        raise DataError(f"{where} cannot be decoded: {error}.", fix="Repair or remove it, or use --skip-bad.") from None
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)
