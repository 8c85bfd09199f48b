"""Encode and decode one image as lossy WebP: a single frame, no alpha, no metadata.

The format has no grey images, and its colours always have half the resolution: a grey image is written with three equal
channels and read as their luminance. Bytes and decoded pixels depend on Pillow and its libwebp, so the plan records
both versions.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

from copgen.pairs.pillow import from_pillow, to_pillow

METHOD = 4  # libwebp's default between speed (0) and size (6)
MAX_SIDE = 16_383  # pixels; limit of the format
_HEADER = struct.Struct("<4sI4s4sI3s3sHH")
_FRAME_START = b"\x9d\x01\x2a"


def encode(image: NDArray[np.uint8], quality: int) -> bytes:
    """WebP bytes of a (C, H, W) uint8 image, C = 1 or 3."""
    stream = io.BytesIO()
    to_pillow(image).convert("RGB").save(stream, "WEBP", quality=quality, method=METHOD)
    return stream.getvalue()


def decode(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode WebP bytes to a (C, H, W) uint8 image.

    Args:
        data: a whole WebP file of one lossy frame.
        shape: the height and width that its header must have; C = 1 takes the luminance.

    Raises:
        ValueError: not such a WebP, another size (checked before decoding), truncated or damaged; the message is a
            predicate.
    """
    _, height, width = shape
    if len(data) < _HEADER.size:
        raise ValueError("is not a WebP image")
    riff, length, webp, chunk, _, tag, start, found_width, found_height = _HEADER.unpack_from(data)
    if (riff, webp) != (b"RIFF", b"WEBP"):
        raise ValueError("is not a WebP image")
    if chunk != b"VP8 " or start != _FRAME_START or tag[0] & 1:
        raise ValueError("is not a WebP image of one lossy frame")
    # The upper two bits of each side are a hint for scaling.
    if (found_height & MAX_SIDE, found_width & MAX_SIDE) != (height, width):
        size = f"{found_height & MAX_SIDE} x {found_width & MAX_SIDE}"
        raise ValueError(f"is {size} pixels; the plan says {height} x {width}")
    if len(data) != length + 8:
        raise ValueError(f"is truncated or too long: it has {len(data)} bytes, its header says {length + 8}")
    return from_pillow(data, "WEBP", shape)
