"""Encode and decode one image as JPEG: baseline, colours at full resolution (4:4:4), no metadata.

The bytes and the decoded pixels depend on Pillow and its libjpeg, so the plan records both versions.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from copgen.pairs.pillow import from_pillow, to_pillow

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_BASELINE = 0xC0
# Frames: 0xC0 to 0xCF, except DHT, JPG and DAC, which share the range.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FULL = 0x11  # sampling factors 1 x 1


def encode(image: NDArray[np.uint8], quality: int, scratch: BinaryIO | None = None) -> bytes:
    """JPEG bytes of a (C, H, W) uint8 image; C = 1 gives grey, C = 3 gives YCbCr without subsampling.

    Args:
        image: the pixels.
        quality: 1 to 100.
        scratch: an unbuffered file to compress into: Pillow releases the GIL while it writes JPEG to a file, but not
            while it writes to a Python object.
    """
    stream = scratch or io.BytesIO()
    stream.seek(0)
    to_pillow(image).save(stream, "JPEG", quality=quality, subsampling=0)
    size = stream.tell()
    stream.seek(0)
    return stream.read(size)


def decode(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode JPEG bytes to a (C, H, W) uint8 image.

    Args:
        data: a whole JPEG file.
        shape: the shape that its frame header must have; C = 1 means grey, C = 3 means colour at full resolution.

    Raises:
        ValueError: not a JPEG, another size or kind (checked before decoding), or damaged; the message is a predicate.
    """
    channels, height, width = shape
    kind, found_height, found_width, sampling = _frame(data)
    if (found_height, found_width) != (height, width):
        raise ValueError(f"is {found_height} x {found_width} pixels; the plan says {height} x {width}")
    if kind != _BASELINE:
        raise ValueError("is not a baseline JPEG")
    if len(sampling) != channels:
        raise ValueError(f"has {len(sampling)} colour components; the plan says {channels}")
    if channels > 1 and any(factors != _FULL for factors in sampling):
        raise ValueError("has subsampled colours; copgen writes 4:4:4")
    if not data.endswith(_END):
        raise ValueError("is truncated: the end of the JPEG image is missing")
    return from_pillow(data, "JPEG", shape)


def _frame(data: bytes) -> tuple[int, int, int, bytes]:
    """(kind, height, width, sampling factors of the components) from the first frame header."""
    if not data.startswith(_START):
        raise ValueError("is not a JPEG image")
    position = 2
    while position + 4 <= len(data):
        start, marker, length = struct.unpack_from(">BBH", data, position)
        if start != 0xFF or length < 2:
            break
        if marker in _FRAMES:
            segment = data[position + 4 : position + 2 + length]
            if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
                break
            _, height, width, _ = struct.unpack_from(">BHHB", segment)
            return marker, height, width, segment[7::3]
        position += 2 + length
    raise ValueError("is truncated or corrupt: the JPEG image has no frame header")
