"""Conversion between arrays (C, H, W) and Pillow images, shared by all image formats."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features


def to_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """A Pillow image of a (C, H, W) uint8 array: mode L for C = 1, RGB for C = 3."""
    channels, height, width = image.shape
    pixels = np.ascontiguousarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
    return Image.frombytes("L" if channels == 1 else "RGB", (width, height), pixels)


def from_pillow(data: bytes, format: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode an image whose header has been checked to say `shape`, to a (C, H, W) uint8 array.

    Raises:
        ValueError: it cannot be decoded, or decodes to another shape; the message is a predicate.
    """
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(io.BytesIO(data), formats=[format]) as image:
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
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


def library_versions(*names: str) -> dict[str, str]:
    """Versions of these libraries, as far as Pillow was built with them."""
    versions = {name: features.version(name) for name in names}
    return {name: str(version) for name, version in versions.items() if version}
