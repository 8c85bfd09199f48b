"""torch's two file formats.

Since 1.6: an uncompressed zip of `data.pkl` and one record per storage, mapped and not copied. Before: five pickles (a
magic number, a version, type sizes, the object, the keys of its storages), then the storages, each an element count and
its data; whole modules store their class as a persistent id with the source code of the class.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.storage.foreign.records import BadPickle, Storage, expect
from copgen.storage.foreign.unpickling import LARGEST_PICKLE, Mapped, read_pickle, resolved

ZIP = b"PK\x03\x04"
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
LEGACY = b"\x80\x02\x8a\n" + _MAGIC.to_bytes(10, "little") + b"."
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1


def read_archive(path: Path) -> Any:
    """The content of a file of `torch.save` since 1.6."""
    archive = Archive(path)
    if archive.folder + "byteorder" in archive.records:
        expect(bytes(archive.record("byteorder")[:16]) == b"little", "big-endian files are not supported")
    content = archive.record("data.pkl")
    expect(
        len(content) <= LARGEST_PICKLE,
        f"its pickle has {len(content):,} bytes; at most {LARGEST_PICKLE:,} are supported",
    )
    value, _ = read_pickle(io.BytesIO(content))
    return resolved(value, archive.storage)


class Archive:
    """The records of a zip file, each a range of the mapped file."""

    def __init__(self, path: Path) -> None:
        # Copy on write: tensors may be changed in memory, without changing the file.
        with open(path, "rb") as stream:
            self.view = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
        self.storages: dict[tuple[str, torch.dtype], Tensor] = {}
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        self.records = {self.checked_name(entry): entry for entry in entries}
        expect(len(self.records) == len(entries), "it has two records with the same name")
        # The checksums of overlapping records would read the same bytes again and again.
        expect(
            sum(entry.file_size for entry in entries) <= len(self.view),
            "its records are larger than the file; it is damaged",
        )
        pickles = [name for name in self.records if name == "data.pkl" or name.endswith("/data.pkl")]
        expect(len(pickles) == 1, "it is a zip file without a record 'data.pkl', so not a file of torch.save")
        self.folder = pickles[0].removesuffix("data.pkl")

    @staticmethod
    def checked_name(entry: zipfile.ZipInfo) -> str:
        name, shown = entry.filename, repr(entry.filename[:80])
        fine = name and not name.startswith("/") and "\\" not in name and ".." not in name.split("/")
        expect(bool(fine), f"its record {shown} has an unsafe name")
        plain = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & _ENCRYPTED
        expect(plain, f"its record {shown} is compressed or encrypted, unlike those of torch.save")
        expect(entry.file_size == entry.compress_size, f"its record {shown} has two different sizes")
        return name

    def record(self, name: str) -> memoryview:
        """The bytes of a record, whose checksum is verified."""
        entry, shown = self.records.get(self.folder + name), repr(name[:80])
        if entry is None:
            raise BadPickle(f"its record {shown} is missing")
        outside = f"its record {shown} extends beyond the end; it is truncated or damaged"
        start = entry.header_offset
        expect(0 <= start <= len(self.view) - _LOCAL_HEADER.size, outside)
        signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack_from(self.view, start)
        start += _LOCAL_HEADER.size + name_length + extra_length
        expect(signature == ZIP and start + entry.file_size <= len(self.view), outside)
        content = self.view[start : start + entry.file_size]
        expect(zlib.crc32(content) == entry.CRC, f"its record {shown} has a wrong checksum; it is damaged")
        return content

    def storage(self, wanted: Storage) -> Tensor:
        """The elements of a storage as a one-dimensional view of the file."""
        key, dtype, count = wanted.key, wanted.dtype, wanted.whole
        if (key, dtype) not in self.storages:
            content = self.record(f"data/{key}")
            fits = len(content) == count * dtype.itemsize
            expect(fits, f"storage {key[:40]!r} has {len(content):,} bytes, not {count:,} times {dtype.itemsize}")
            self.storages[key, dtype] = torch.frombuffer(content, dtype=dtype) if count else torch.empty(0, dtype=dtype)
        held = self.storages[key, dtype]
        expect(len(held) == count, f"storage {key[:40]!r} is declared with {count:,} and {len(held):,} elements")
        return held[wanted.first : wanted.first + wanted.count]


def read_legacy(path: Path) -> Any:
    """The content of a file of `torch.save` from before 1.6."""
    with open(path, "rb") as file, Mapped(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        magic, version, system = (read_pickle(stream, calls={})[0] for _ in range(3))
        known = magic == _MAGIC and version == _VERSION
        expect(known, f"it does not have version {_VERSION} of torch's older format")
        little = isinstance(system, dict) and system.get("little_endian") is True
        expect(little, "big-endian files are not supported")
        value, named = read_pickle(stream)
        keys, _ = read_pickle(stream, calls={})
        different = isinstance(keys, list) and all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys)
        expect(different, "its list of storage keys is invalid")
        types: dict[str, tuple[torch.dtype, int]] = {}
        for one in named:
            same = types.setdefault(one.key, (one.dtype, one.whole)) == (one.dtype, one.whole)
            expect(same, f"storage {one.key[:40]!r} is declared with two dtypes or sizes")
        lost = ", ".join(repr(key[:40]) for key in sorted(types.keys() ^ set(keys))[:4])
        expect(not lost, f"storage {lost} is either declared or present, but not both")
        places: dict[str, int] = {}
        for key in keys:
            dtype, count = types[key]
            counted = stream.read(8)
            expect(len(counted) == 8, "it ends before its last storage; it is truncated")
            held = int.from_bytes(counted, "little")
            expect(held == count, f"storage {key[:40]!r} has {held:,} elements, not {count:,}")
            places[key] = stream.tell()
            fits = count * dtype.itemsize <= len(stream) - places[key]
            expect(fits, f"it ends in the middle of storage {key[:40]!r}; it is truncated")
            stream.seek(places[key] + count * dtype.itemsize)
        loaded: dict[str, Tensor] = {}

        def load(wanted: Storage) -> Tensor:
            if wanted.key not in loaded:
                # Read and not mapped: the data are not aligned in the file, as tensors need.
                raw = bytearray(wanted.whole * wanted.dtype.itemsize)
                file.seek(places[wanted.key])
                expect(file.readinto(raw) == len(raw), "it was truncated while it was being read")
                loaded[wanted.key] = (
                    torch.frombuffer(raw, dtype=wanted.dtype) if raw else torch.empty(0, dtype=wanted.dtype)
                )
            return loaded[wanted.key][wanted.first : wanted.first + wanted.count]

        return resolved(value, load)
