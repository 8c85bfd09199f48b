"""PNG files of tiny images are PNG files to everybody, of bytes that no library decides."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_png

from copgen.pairs import png, tiny_png
from copgen.pairs.tar import BLOCK

LARGEST = [(1, 8, 54), (1, 1, 443), (1, 222, 1), (3, 8, 18), (3, 111, 1)]
BYTES = (  # of the image with rows 0 1 and 2 3
    "89504e470d0a1a0a"
    "0000000d49484452000000020000000208000000"
    "0057dd52f8"
    "00000011494441547801"
    "010600f9ff"
    "000001000203"
    "001100079a1c9e7f"
    "0000000049454e44ae426082"
)
SHAPES = [(1, 1, 1), (3, 1, 1), (1, 8, 8), (3, 8, 8), (3, 5, 9), (1, 5, 9), *LARGEST]


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")  # torchvision's, for torchcodec
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pillow_and_torchvision_read_the_same_image(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = tiny_png.encode(image)
    assert np.array_equal(png.decode(data, shape), image)
    mode = ImageReadMode.GRAY if shape[0] == 1 else ImageReadMode.RGB
    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    assert torch.equal(decode_png(buffer, mode), torch.from_numpy(image))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_file_holds_the_rows_as_they_are_and_right_checksums(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    data, at, chunks = tiny_png.encode(image), 8, {}
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        tag, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert int.from_bytes(data[at + 8 + length : at + 12 + length], "big") == zlib.crc32(tag + content)
        chunks[tag] = content
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    assert np.array_equal(rows[:, 1:].reshape(height, width, channels), image.transpose(1, 2, 0))


@pytest.mark.parametrize("shape", LARGEST, ids=str)
def test_tiny_is_what_fits_into_one_block_of_a_tar(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    assert tiny_png.is_tiny(shape)
    assert len(tiny_png.encode(np.zeros(shape, np.uint8))) <= BLOCK
    assert not tiny_png.is_tiny((channels, height, width + 1))


def test_the_bytes_are_these_for_good() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    assert tiny_png.encode(image).hex() == BYTES
    assert png.encode(image) == png.encode(np.asfortranarray(image)) == tiny_png.encode(image)


def test_another_encoder_gives_the_same_image_in_other_bytes() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    stream = io.BytesIO()
    Image.fromarray(image[0]).save(stream, "PNG")
    assert stream.getvalue() != tiny_png.encode(image)
    assert np.array_equal(png.decode(stream.getvalue(), (1, 8, 8)), image)
