"""The image formats of a pairs folder, with one `encode` and one `decode` for all of them.

png    lossless; the default
jpg    lossy with a quality from 1 to 100; baseline, 4:4:4
webp   lossy with a quality from 1 to 100

All three use Pillow, except PNG files of tiny images (`tiny_png`). Decoding does not trust a file's header: the
size is compared with the plan's before a pixel is decoded.
"""

from __future__ import annotations

from typing import BinaryIO, Literal, get_args

import numpy as np
import PIL
from numpy.typing import NDArray

from copgen.pairs import jpg, png, tiny_png, webp
from copgen.pairs.pillow import library_versions

ImageFormat = Literal["png", "jpg", "webp"]
FORMATS: tuple[str, ...] = get_args(ImageFormat)
DEFAULT_QUALITY = {"png": None, "jpg": 95, "webp": 90}
_DECODERS = {"png": png.decode, "jpg": jpg.decode, "webp": webp.decode}
_LIBRARIES = {"png": ("zlib", "zlib_ng"), "jpg": ("jpg", "libjpeg_turbo"), "webp": ("webp",)}


def encode(
    image: NDArray[np.uint8], format: ImageFormat, quality: int | None, scratch: BinaryIO | None = None
) -> bytes:
    """The bytes of a (C, H, W) uint8 image, C = 1 (grey) or 3 (RGB); the same image gives the same bytes.

    Args:
        image: the pixels.
        format: the image format.
        quality: 1 to 100 for jpg and webp; None for png.
        scratch: as in `jpg.encode`; the other formats do not use it.

    Raises:
        ValueError: a quality is given for png, or missing for another format.
    """
    if (quality is None) != (format == "png"):
        raise ValueError(f"quality {quality} is invalid for {format}")
    if quality is None:
        return png.encode(image)
    return jpg.encode(image, quality, scratch) if format == "jpg" else webp.encode(image, quality)


def decode(data: bytes, format: ImageFormat, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode a file of that format to a (C, H, W) uint8 image.

    Raises:
        ValueError: the data have another format, size or colour type (checked before decoding), or are damaged. The
            message is a predicate, to follow the file's name.
    """
    return _DECODERS[format](data, shape)


def encoder_versions(format: ImageFormat, shape: tuple[int, int, int]) -> dict[str, str]:
    """Versions of every library that determines the bytes of an image (C, H, W) in that format."""
    if format == "png" and tiny_png.is_tiny(shape):
        return {"png": tiny_png.VERSION}
    return {"pillow": PIL.__version__, **library_versions(*_LIBRARIES[format])}
