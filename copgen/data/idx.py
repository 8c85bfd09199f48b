"""The IDX format of MNIST: a magic number, the sizes of the dimensions, then the bytes; gzipped or not."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from copgen.runtime.errors import DataError
from copgen.storage.files import read_bytes

_AGAIN = "Download it again, and compare its size with the published one."
_UNSIGNED_BYTES = 8
LARGEST = 2**31  # bytes


def read_idx(path: Path, *, dimensions: int) -> tuple[Tensor, str]:
    """(the uint8 tensor of a file with that many dimensions, the sha256 of the file).

    Raises:
        DataError: missing, truncated, too long, not IDX, or with other dimensions; the error names the file.
        EnvironmentFault: it cannot be read.
    """
    raw = read_bytes(path)
    data = _unzipped(path, raw) if raw.startswith(b"\x1f\x8b") else raw
    start = 4 + 4 * dimensions
    if len(data) < start or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTES:
        raise DataError(f"{path} is not an IDX file of bytes: it begins with {data[:4].hex(' ')}.", fix=_AGAIN)
    if data[3] != dimensions:
        raise DataError(f"{path} has {data[3]} dimensions, not {dimensions}.", fix="Check which file is which.")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    needed = start + math.prod(shape)
    if len(data) != needed:
        change, sizes = "truncated" if len(data) < needed else "too long", " x ".join(map(str, shape))
        what = f"{path} is {change}: it has {len(data):,} bytes, its header says {needed:,} for {sizes}."
        raise DataError(what, fix=_AGAIN)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)[start:].view(shape), hashlib.sha256(raw).hexdigest()


def _unzipped(path: Path, raw: bytes) -> bytes:
    try:
        unzip = zlib.decompressobj(wbits=31)
        data = unzip.decompress(raw, LARGEST)
    except zlib.error as error:
        raise DataError(f"{path} is damaged: {error}.", fix=_AGAIN) from None
    if not unzip.eof:
        raise DataError(f"{path} is truncated or larger than {LARGEST:,} bytes.", fix=_AGAIN)
    return data
