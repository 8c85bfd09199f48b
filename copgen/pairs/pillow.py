"""Conversion between arrays (C, H, W) and Pillow images, for all image formats; no other file reads with Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features


def to_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """A Pillow image of a (C, H, W) uint8 array: mode L for C = 1, RGB for C = 3."""
    channels, height, width = image.shape
    pixels = np.ascontiguousarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
    return Image.frombytes("L" if channels == 1 else "RGB", (width, height), pixels)


@contextmanager
def _opened(data: bytes, format: str) -> Iterator[Image.Image]:
    """Inside this context whatever Pillow raises on these bytes is a ValueError; running out of memory stays that.

    Which exceptions its parsers let through depends on the chunk and on the version: an empty iCCP chunk gives an
    IndexError in Pillow 13.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[format]) as image:
            yield image
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"cannot be decoded ({str(error) or type(error).__name__})") from None


def header(data: bytes, format: str) -> tuple[str, int, int]:
    """The mode, height and width in the header of an image; no pixel is decoded.

    Raises:
        ValueError: the header cannot be read; the message is a predicate.
    """
    with _opened(data, format) as image:
        return image.mode, image.height, image.width


def from_pillow(data: bytes, format: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decode an image whose header has been checked to say `shape`, to a (C, H, W) uint8 array.

    Raises:
        ValueError: it cannot be decoded, or decodes to another shape; the message is a predicate.
    """
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    with _opened(data, format) as image:
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if pixels.shape != ((height, width) if channels == 1 else (height, width, channels)):
        raise ValueError(f"decodes to {pixels.shape}; the plan says {shape}")
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def library_versions(*names: str) -> dict[str, str]:
    """Versions of these libraries, as far as Pillow was built with them."""
    versions = {name: features.version(name) for name in names}
    return {name: str(version) for name, version in versions.items() if version}
