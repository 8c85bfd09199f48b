"""torch's file format since 1.6: an uncompressed zip of `data.pkl` and one record a storage, mapped and not copied."""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.storage.foreign.calls import CALLS, persistent_id
from copgen.storage.foreign.machine import Machine
from copgen.storage.foreign.opcodes import BadPickle, Cursor

SIGNATURE = b"PK\x03\x04"
LARGEST_PICKLE = 64 * 2**20
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1


class Archive:
    """The records of a zip file, each a range of the mapped file."""

    def __init__(self, path: Path) -> None:
        # Copy on write: tensors may be changed in memory, the file cannot be.
        with open(path, "rb") as stream:
            self.content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self.view = memoryview(self.content)
        self.storages: dict[tuple[str, torch.dtype], Tensor] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, EOFError, OverflowError) as error:
            raise BadPickle(f"it begins as a zip file, but is none ({error}); it is truncated or damaged") from None
        self.records = {self.checked_name(entry): entry for entry in entries}
        if len(self.records) < len(entries):
            raise BadPickle("two of its records have the same name")
        pickles = [name for name in self.records if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise BadPickle("it is a zip file, but not one of torch.save: there is no record 'data.pkl' in it")
        self.folder = pickles[0].removesuffix("data.pkl")

    @staticmethod
    def checked_name(entry: zipfile.ZipInfo) -> str:
        name = entry.filename
        if not name or name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BadPickle(f"its record {name[:80]!r} has a name that leads elsewhere")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
            raise BadPickle(f"its record '{name[:80]}' is compressed or encrypted, which torch.save never does")
        if entry.file_size != entry.compress_size:
            raise BadPickle(f"its record '{name[:80]}' has two sizes")
        return name

    def record(self, name: str) -> memoryview:
        """The bytes of a record, whose checksum must agree."""
        entry = self.records.get(self.folder + name)
        if entry is None:
            raise BadPickle(f"its record '{name[:80]}' is missing")
        start = entry.header_offset
        if start < 0 or start + _LOCAL_HEADER.size > len(self.view):
            raise BadPickle(f"its record '{name}' lies beyond its end; it is truncated")
        signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack_from(self.view, start)
        start += _LOCAL_HEADER.size + name_length + extra_length
        if signature != SIGNATURE or start + entry.file_size > len(self.view):
            raise BadPickle(f"its record '{name}' lies beyond its end; it is truncated or damaged")
        content = self.view[start : start + entry.file_size]
        if zlib.crc32(content) != entry.CRC:
            raise BadPickle(f"the checksum of its record '{name}' does not agree; it is damaged")
        return content

    def storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """The storage `key` as a one-dimensional view of the file."""
        if (key, dtype) not in self.storages:
            content = self.record(f"data/{key}")
            if len(content) != count * dtype.itemsize:
                raise BadPickle(f"storage '{key}' has {len(content):,} bytes, not {count:,} times {dtype.itemsize}")
            whole = torch.frombuffer(content, dtype=dtype) if count else torch.empty(0, dtype=dtype)
            self.storages[key, dtype] = whole
        whole = self.storages[key, dtype]
        if whole.numel() != count:
            raise BadPickle(f"storage '{key}' is said to have {count:,} elements and {whole.numel():,}")
        return whole


def read_archive(path: Path) -> Any:
    """What a file of `torch.save` holds."""
    archive = Archive(path)
    if archive.folder + "byteorder" in archive.records and bytes(archive.record("byteorder")[:16]) != b"little":
        raise BadPickle("it was written on a big-endian machine")
    content = archive.record("data.pkl")
    if len(content) > LARGEST_PICKLE:
        raise BadPickle(f"its pickle has {len(content):,} bytes; up to {LARGEST_PICKLE:,} are read")
    return Machine(Cursor(content), calls=CALLS, persistent=persistent_id(archive.storage)).run()
