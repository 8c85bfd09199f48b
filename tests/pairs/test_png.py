"""PNG bytes come back as the same image; anything else is refused before it is decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from copgen.pairs import png


def _noise(shape: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _pillow(mode: str, size: tuple[int, int], format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, format)
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 1, 1), (3, 1, 1), (3, 5, 9)])
def test_an_image_comes_back_and_is_one_for_everybody(shape: tuple[int, int, int]) -> None:
    image = _noise(shape)
    data = png.encode(image)
    assert np.array_equal(png.decode(data, shape), image)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == ("L" if shape[0] == 1 else "RGB")
        assert opened.size == (shape[2], shape[1])


def test_equal_images_give_equal_bytes() -> None:
    image = _noise((3, 16, 16))
    assert png.encode(image) == png.encode(np.asfortranarray(image)) == png.encode(image.copy())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "is not a PNG"),
        (_pillow("L", (8, 8), "BMP"), "is not a PNG"),
        (_pillow("L", (9, 8)), "is 8 x 9 pixels; the plan says 8 x 8"),
        (_pillow("RGB", (8, 8)), "is 8-bit RGB; the plan says 8-bit grey"),
        (_pillow("P", (8, 8)), "is 1-bit palette"),
        (_pillow("1", (8, 8)), "is 1-bit grey"),
        (_pillow("I;16", (8, 8)), "is 16-bit grey"),
        (_pillow("L", (8, 8))[:-1], "is truncated"),
        (_pillow("L", (8, 8))[:-20], "is truncated"),
        (_pillow("L", (8, 8))[:45] + _pillow("L", (8, 8))[-12:], "cannot be decoded"),
    ],
)
def test_other_data_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        png.decode(data, (1, 8, 8))


def test_a_decompression_bomb_is_refused_by_its_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    bomb += struct.pack(">I", zlib.crc32(b"IHDR" + header))

    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("the decoder was called")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(ValueError, match="60000 x 60000"):
        png.decode(bomb, (1, 8, 8))
