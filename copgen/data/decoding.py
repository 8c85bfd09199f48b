"""Decode an image file to pixels as Pillow's `convert("RGB")` or `convert("L")` gives them.

The orientation in EXIF data is ignored, as in torchvision's ImageFolder. (torchvision's own decoder is about twice as
fast for JPEG, but deprecated since 0.29.)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from copgen.runtime.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "BMP", "TIFF")
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_DEEP_MODES = ("I", "F")


class Header(NamedTuple):
    """What an image's header says: pixels of each side, and 1 (grey) or 3 (colour) channels."""

    height: int
    width: int
    channels: int


def decode(data: bytes, channels: int, where: str) -> Tensor:
    """The pixels (C, H, W), uint8, of an image file.

    Args:
        data: the whole file.
        channels: 1 (grey) or 3 (RGB).
        where: how messages name the image.

    Raises:
        DataError: not an image, damaged, truncated, or with pixels that 8 bits cannot hold; the error names `where`.
    """
    mode = "L" if channels == 1 else "RGB"
    with _opened(data, where) as image:
        pixels = image if image.mode == mode else image.convert(mode)
        # Splitting into planes in Pillow is several times faster than transposing an array.
        planes = bytearray().join([band.tobytes() for band in pixels.split()])
        height, width = pixels.height, pixels.width
    return torch.frombuffer(planes, dtype=torch.uint8).view(channels, height, width)


def read_header(data: bytes, where: str) -> Header:
    """The size and colours of an image file; no pixel is decoded.

    Raises:
        DataError: as `decode`, as far as the header tells.
    """
    with _opened(data, where) as image:
        return Header(image.height, image.width, 1 if image.mode in _GREY_MODES else 3)


@contextmanager
def _opened(data: bytes, where: str) -> Iterator[Image.Image]:
    """Inside this context whatever Pillow raises on these bytes is a DataError; running out of memory stays that."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise DataError(
                    f"{where} has pixels of more than 8 bits (Pillow's mode {image.mode}).",
                    fix="Convert the images to 8 bits, with the range of values that matters.",
                )
            yield image
    except (DataError, MemoryError):
        raise
    except Exception as error:  # which one depends on the format, the damage and Pillow's version
        reason = "it is empty" if not data else str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError) and data:
            reason = f"it is none of {', '.join(FORMATS)}"
        raise DataError(
            f"{where} cannot be decoded: {reason}.",
            fix="Replace or remove it; `copgen data inspect` lists all of them.",
        ) from None
