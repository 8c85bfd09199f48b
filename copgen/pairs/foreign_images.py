"""Image files that another program wrote: PNG, JPEG with any subsampling, and WebP, checked before they are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copgen.pairs import png
from copgen.pairs.pillow import from_pillow, header
from copgen.pairs.tar import MAX_MEMBER_BYTES
from copgen.runtime.errors import DataError

FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}  # by the end of the name
_CHANNELS = {"L": 1, "RGB": 3}
_MAX_SIDE = 8192  # pixels


def image_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        DataError: it is missing or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MEMBER_BYTES:
            raise DataError(f"{path} has {size:,} bytes; at most {MAX_MEMBER_BYTES:,} are supported.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", fix="Check the disk and its permissions."
        ) from None


def image_shape(path: Path) -> tuple[int, int, int]:
    """Channels, height and width in the header of an image file.

    Raises:
        DataError: it is missing, not an image of the format that its name says, or neither grey nor RGB.
    """
    format = FORMATS[_end(path)]
    try:
        mode, height, width = header(image_bytes(path), format)
    except ValueError as error:
        raise DataError(f"{path} is not a {format} image: it {error}.") from None
    if mode not in _CHANNELS:
        raise DataError(f"{path} has mode {mode}; expected grey (L) or RGB.")
    if max(width, height) > _MAX_SIDE:
        raise DataError(f"{path} is {height} x {width} pixels; at most {_MAX_SIDE} a side are supported.")
    return _CHANNELS[mode], height, width


def decode_file(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The (C, H, W) uint8 image in a file.

    Args:
        path: the file; the end of its name says the format.
        shape: the shape that its header must have.

    Raises:
        DataError: the file is missing or too large.
        ValueError: another format, size or colour type, or damaged; the message is a predicate.
    """
    data, format = image_bytes(path), FORMATS[_end(path)]
    if format == "PNG":
        return png.decode(data, shape)
    mode, height, width = header(data, format)
    if (height, width) != shape[1:]:
        raise ValueError(f"is {height} x {width} pixels; the plan says {shape[1]} x {shape[2]}")
    if _CHANNELS.get(mode) != shape[0]:
        raise ValueError(f"has mode {mode}; the plan says {'grey' if shape[0] == 1 else 'RGB'}")
    if format == "JPEG" and not data.endswith(b"\xff\xd9"):
        raise ValueError("is truncated: the end of the JPEG image is missing")
    return from_pillow(data, format, shape)


def _end(path: Path) -> str:
    return path.suffix.removeprefix(".")
