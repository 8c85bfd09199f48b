"""Decoding gives Pillow's pixels, and damage is reported by name."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen.data.decoding import decode, read_header
from copgen.runtime.errors import DataError
from tests.data import made

NOISE = Image.fromarray(made.pixels(0, 24)).resize((53, 41), Image.Resampling.BICUBIC)


def encoded(mode: str, format: str, **how: Any) -> bytes:
    stream = io.BytesIO()
    NOISE.convert(mode).save(stream, format, **how)
    return stream.getvalue()


CASES = {
    "jpeg": encoded("RGB", "JPEG"),
    "jpeg 4:4:4": encoded("RGB", "JPEG", subsampling=0),
    "jpeg progressive": encoded("RGB", "JPEG", progressive=True),
    "jpeg optimised": encoded("RGB", "JPEG", optimize=True, quality=40),
    "jpeg grey": encoded("L", "JPEG"),
    "jpeg cmyk": encoded("CMYK", "JPEG"),
    "jpeg kept in rgb": encoded("RGB", "JPEG", keep_rgb=True),
    "png": encoded("RGB", "PNG"),
    "png grey": encoded("L", "PNG"),
    "png palette": encoded("P", "PNG"),
    "png alpha": encoded("RGBA", "PNG"),
    "png grey alpha": encoded("LA", "PNG"),
    "png bits": encoded("1", "PNG"),
    "png with a transparent colour": encoded("RGB", "PNG", transparency=(1, 2, 3)),
    "webp": encoded("RGB", "WEBP"),
    "webp alpha": encoded("RGBA", "WEBP"),
    "bmp": encoded("RGB", "BMP"),
    "tiff": encoded("RGB", "TIFF"),
    "ppm": encoded("RGB", "PPM"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_are_those_of_pillow(name: str, channels: int) -> None:
    with Image.open(io.BytesIO(CASES[name])) as image:
        wanted = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(41, 53, channels)
    found = decode(CASES[name], channels, "x")
    assert (found.dtype, found.is_contiguous()) == (torch.uint8, True)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), wanted)


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "png", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("left", [0, 1, 20, 0.5, 0.9])
def test_a_truncated_image_is_an_error_that_names_it(name: str, left: float) -> None:
    data = CASES[name]
    cut = data[: int(left if left >= 1 else left * len(data))]
    with pytest.raises(DataError, match="here/it"):
        decode(cut, 3, "here/it")


@pytest.mark.parametrize("data", [b"", b"hello", b"<!doctype html>", CASES["png"][:33] + b"\0" * 200], ids=range(4))
def test_what_is_no_image_is_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(DataError, match="here/it"):
        decode(data, 3, "here/it")


def test_pixels_of_16_bits_are_refused_and_not_clipped() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(stream, "PNG")
    with pytest.raises(DataError, match="8 bits"):
        decode(stream.getvalue(), 1, "x")


@pytest.mark.parametrize(("name", "channels"), [("jpeg grey", 1), ("jpeg", 3), ("png palette", 3), ("png bits", 1)])
def test_headers(name: str, channels: int) -> None:
    assert read_header(CASES[name], "x") == (41, 53, channels)


def test_flipped_bytes_give_an_image_or_a_data_error() -> None:
    random = np.random.default_rng(0)
    for name in ("jpeg", "png", "webp", "tiff"):
        for _ in range(60):
            data = bytearray(CASES[name])
            for place in random.integers(0, len(data), 3):
                data[place] = random.integers(0, 256)
            with contextlib.suppress(DataError):  # any other exception would fail
                assert decode(bytes(data), 3, "here/it").dtype == torch.uint8
