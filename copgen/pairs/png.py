"""Encode and decode one image as PNG; the size is checked before decoding.

The bytes depend on Pillow and its zlib, so the plan records both versions, except for tiny images (`tiny_png`).
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

from copgen.pairs import tiny_png
from copgen.pairs.pillow import from_pillow, to_pillow
from copgen.pairs.tiny_png import END, SIGNATURE, is_tiny

COMPRESS_LEVEL = 6
_HEADER = struct.Struct(">8sI4sIIBB")
_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def encode(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of a (C, H, W) uint8 image; C = 1 gives mode L, C = 3 gives RGB."""
    if is_tiny(image.shape):
        return tiny_png.encode(image)
    stream = io.BytesIO()
    to_pillow(image).save(stream, "PNG", compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def decode(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode PNG bytes to a (C, H, W) uint8 image.

    Args:
        data: a whole PNG file.
        shape: the shape that its header must have; C = 1 means 8-bit grey, C = 3 means 8-bit RGB.

    Raises:
        ValueError: not a PNG, another size or colour type (checked before decoding), or damaged; the message is a
            predicate.
    """
    channels, height, width = shape
    if len(data) < _HEADER.size:
        raise ValueError("is not a PNG image")
    signature, _, kind, found_width, found_height, depth, colour = _HEADER.unpack_from(data)
    if signature != SIGNATURE or kind != b"IHDR":
        raise ValueError("is not a PNG image")
    if (found_height, found_width) != (height, width):
        raise ValueError(f"is {found_height} x {found_width} pixels; the plan says {height} x {width}")
    if (depth, colour) != (8, 0 if channels == 1 else 2):
        found = _COLOURS.get(colour, f"of colour type {colour}")
        raise ValueError(f"is {depth}-bit {found}; the plan says 8-bit {'grey' if channels == 1 else 'RGB'}")
    if not data.endswith(END):
        raise ValueError("is truncated: the end of the PNG image is missing")
    return from_pillow(data, "PNG", shape)
