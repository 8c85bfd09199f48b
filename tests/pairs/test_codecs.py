"""Every image format returns an image exactly or nearly; other data are refused before decoding."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from copgen.pairs import codecs, jpg, webp
from copgen.pairs.codecs import DEFAULT_QUALITY, FORMATS, ImageFormat

SHAPES = [(1, 8, 8), (3, 8, 8), (1, 1, 1), (3, 1, 1), (3, 5, 9), (3, 64, 64)]


def smooth(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Slow waves around middle grey, different in each channel: well suited to a lossy format."""
    channels, height, width = shape
    y, x, c = np.arange(height)[:, None] / 16, np.arange(width)[None] / 16, np.arange(channels)[:, None, None]
    wave: NDArray[np.float64] = np.sin(y + 0.3 * c) + np.cos(x)
    return (128 + 40 * wave).astype(np.uint8)


def pillow(mode: str, size: tuple[int, int], format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_comes_back(format: ImageFormat, shape: tuple[int, int, int]) -> None:
    image = smooth(shape)
    data = codecs.encode(image, format, DEFAULT_QUALITY[format])
    assert data == codecs.encode(np.asfortranarray(image), format, DEFAULT_QUALITY[format])
    back = codecs.decode(data, format, shape)
    assert back.shape == shape
    assert back.dtype == np.uint8
    # WebP keeps colours at half resolution and luminance in 219 levels.
    allowed = {"png": 0, "jpg": 6, "webp": 16}[format]
    assert np.abs(back.astype(int) - image).max() <= allowed


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_a_higher_quality_is_nearer_and_longer(format: ImageFormat) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    coarse, fine = (codecs.encode(image, format, quality) for quality in (20, 95))
    far, near = (np.abs(codecs.decode(data, format, (1, 32, 32)).astype(int) - image).mean() for data in (coarse, fine))
    assert len(coarse) < len(fine)
    assert near < far


def test_jpg_bytes_may_go_through_a_file(tmp_path: Path) -> None:
    images = [smooth((3, side, side)) for side in (64, 16, 40)]  # a shorter one after a longer one
    with open(tmp_path / "scratch", "w+b", buffering=0) as scratch:
        assert [codecs.encode(image, "jpg", 95, scratch) for image in images] == [
            jpg.encode(image, 95) for image in images
        ]


def test_jpg_keeps_colours_at_full_resolution() -> None:
    image = np.zeros((3, 16, 16), np.uint8)
    image[0, :, ::2] = 255  # red stripes of one pixel, which subsampling would blur
    back = codecs.decode(codecs.encode(image, "jpg", 95), "jpg", (3, 16, 16))
    assert np.abs(back.astype(int) - image).max() < 40


@pytest.mark.parametrize(("format", "quality"), [("png", 90), ("jpg", None), ("webp", None)])
def test_only_lossy_formats_have_a_quality(format: ImageFormat, quality: int | None) -> None:
    with pytest.raises(ValueError, match=f"quality {quality} .*{format}"):
        codecs.encode(smooth((1, 8, 8)), format, quality)


GREY_JPG, GREY_WEBP = jpg.encode(smooth((1, 8, 8)), 95), webp.encode(smooth((1, 8, 8)), 90)


@pytest.mark.parametrize(
    ("format", "data", "message"),
    [
        ("jpg", b"", "is not a JPEG"),
        ("jpg", GREY_WEBP, "is not a JPEG"),
        ("jpg", GREY_JPG[:40], "no frame header"),
        ("jpg", pillow("L", (9, 8), "JPEG"), "is 8 x 9 pixels; the plan says 8 x 8"),
        ("jpg", pillow("RGB", (8, 8), "JPEG"), "has 3 colour components; the plan says 1"),
        ("jpg", pillow("L", (8, 8), "JPEG", progressive=True), "not a baseline JPEG"),
        ("jpg", GREY_JPG[:-1], "is truncated"),
        ("jpg", GREY_JPG[:200] + GREY_JPG[-2:], "cannot be decoded"),
        ("webp", b"", "is not a WebP"),
        ("webp", GREY_JPG, "is not a WebP"),
        ("webp", pillow("L", (8, 8), "WEBP", lossless=True), "one lossy frame"),
        ("webp", pillow("L", (9, 8), "WEBP"), "is 8 x 9 pixels; the plan says 8 x 8"),
        ("webp", GREY_WEBP[:-1], "is truncated or too long"),
        ("webp", GREY_WEBP + b"\0", "is truncated or too long"),
        # The frame's tag claims a first partition that is longer than the file.
        ("webp", GREY_WEBP[:21] + b"\xff\xff" + GREY_WEBP[23:], "cannot be decoded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_data_are_refused(format: ImageFormat, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codecs.decode(data, format, (1, 8, 8))


def test_subsampled_colours_are_refused() -> None:
    with pytest.raises(ValueError, match="subsampled"):
        codecs.decode(pillow("RGB", (8, 8), "JPEG", subsampling=2), "jpg", (3, 8, 8))


def _sized(data: bytes, format: str) -> bytes:
    """The same file with a header that claims the largest image of the format."""
    if format == "jpg":
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", 65_535, 65_535) + data[at + 4 :]
    return data[:26] + struct.pack("<HH", 16_383, 16_383) + data[30:]


@pytest.mark.parametrize(("format", "side"), [("jpg", 65_535), ("webp", 16_383)])
def test_a_decompression_bomb_is_refused_by_its_header_alone(
    format: ImageFormat, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = _sized(GREY_JPG if format == "jpg" else GREY_WEBP, format)

    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("the decoder was called")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(ValueError, match=f"{side} x {side}"):
        codecs.decode(bomb, format, (1, 8, 8))


@pytest.mark.parametrize(("format", "library"), [("png", "zlib"), ("jpg", "jpg"), ("webp", "webp")])
def test_the_versions_name_pillow_and_its_library(format: ImageFormat, library: str) -> None:
    assert {"pillow", library} <= codecs.encoder_versions(format, (3, 32, 32)).keys()


def test_no_library_decides_the_bytes_of_a_tiny_png() -> None:
    assert codecs.encoder_versions("png", (1, 8, 8)) == {"png": "stored, 1"}
    assert "pillow" in codecs.encoder_versions("jpg", (1, 8, 8))
