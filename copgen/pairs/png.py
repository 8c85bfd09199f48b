"""One image to PNG and back, with the size checked before a byte is decoded.

The bytes depend on Pillow and on its zlib, so `encoder_versions` belongs into the plan.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, features

COMPRESS_LEVEL = 6
_HEADER = struct.Struct(">8sI4sIIBB")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def encoder_versions() -> dict[str, str]:
    """Versions of all that determines the bytes of a PNG."""
    found = {name: features.version(name) for name in ("zlib", "zlib_ng")}
    return {"pillow": PIL.__version__, **{name: str(version) for name, version in found.items() if version}}


def encode(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of a (C, H, W) uint8 image; C = 1 gives mode L, C = 3 gives RGB."""
    rows = np.ascontiguousarray(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0))
    stream = io.BytesIO()
    Image.fromarray(rows).save(stream, "PNG", compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def decode(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The (C, H, W) uint8 image of PNG bytes.

    Args:
        data: a whole PNG file.
        shape: what its own header must say; C = 1 means 8-bit grey, C = 3 means 8-bit RGB.

    Raises:
        ValueError: no PNG, of another size or colour (found before decoding), or damaged; the text goes after a name.
    """
    channels, height, width = shape
    if len(data) < _HEADER.size:
        raise ValueError("is not a PNG image")
    signature, _, kind, found_width, found_height, depth, colour = _HEADER.unpack_from(data)
    if signature != _SIGNATURE or kind != b"IHDR":
        raise ValueError("is not a PNG image")
    if (found_height, found_width) != (height, width):
        raise ValueError(f"is {found_height} x {found_width} pixels; the plan says {height} x {width}")
    if (depth, colour) != (8, 0 if channels == 1 else 2):
        found = _COLOURS.get(colour, f"of colour type {colour}")
        raise ValueError(f"is {depth}-bit {found}; the plan says 8-bit {'grey' if channels == 1 else 'RGB'}")
    if not data.endswith(_END):
        raise ValueError("is cut: it lacks the end of a PNG image")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"cannot be decoded ({error})") from None
    if pixels.shape != ((height, width) if channels == 1 else (height, width, channels)):
        raise ValueError(f"decodes to {pixels.shape}; the plan says {shape}")
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
