"""One image to lossy WebP and back: a single frame, no alpha, no metadata.

The format has no grey images, and its colours are always at half resolution: a grey image is written with three equal
channels and comes back as their luminance. Bytes and decoded pixels depend on Pillow and on its libwebp, so both belong
into the plan.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

from copgen.pairs.pillow import from_pillow, to_pillow

METHOD = 4  # libwebp's own default between speed (0) and size (6)
MAX_SIDE = 16_383  # pixels; the format's
_HEADER = struct.Struct("<4sI4s4sI3s3sHH")
_FRAME_START = b"\x9d\x01\x2a"


def encode(image: NDArray[np.uint8], quality: int) -> bytes:
    """WebP bytes of a (C, H, W) uint8 image, C = 1 or 3."""
    stream = io.BytesIO()
    to_pillow(image).convert("RGB").save(stream, "WEBP", quality=quality, method=METHOD)
    return stream.getvalue()


def decode(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The (C, H, W) uint8 image of WebP bytes.

    Args:
        data: a whole WebP file of one lossy frame.
        shape: what its own header must say of the sides; C = 1 takes the luminance.

    Raises:
        ValueError: no such WebP, of another size (found before decoding), cut or damaged; the text goes after a name.
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
        found = f"{found_height & MAX_SIDE} x {found_width & MAX_SIDE}"
        raise ValueError(f"is {found} pixels; the plan says {height} x {width}")
    if len(data) != length + 8:
        raise ValueError(f"is cut or lengthened: it has {len(data)} bytes, its header says {length + 8}")
    return from_pillow(data, "WEBP", shape)
