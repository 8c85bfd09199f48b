"""torch's file format before 1.6: five pickles (a magic number, a version, type sizes, the object, the names of its
storages), then the storages, each an element count and its numbers.

Whole modules come with their class as a persistent id that carries the class's source text; the text is not read.
"""

from __future__ import annotations

import mmap
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.storage.foreign.calls import CALLS, no_persistent_id, persistent_id
from copgen.storage.foreign.machine import Machine
from copgen.storage.foreign.opcodes import BadPickle, Cursor, skip
from copgen.storage.foreign.zip_archive import LARGEST_PICKLE

MAGIC = 0x1950A86A20F9469CFC6C
SIGNATURE = b"\x80\x02\x8a\n" + MAGIC.to_bytes(10, "little") + b"."
_VERSION = 1001


class LegacyFile:
    """A file whose object has been skipped, so that it is known where each storage lies before anything is built."""

    def __init__(self, stream: BufferedReader) -> None:
        self.stream = stream
        self.content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        self.storages: dict[str, Tensor] = {}
        cursor = Cursor(self.content)
        if self.plain(cursor) != MAGIC or self.plain(cursor) != _VERSION:
            raise BadPickle(f"it is not of version {_VERSION} of torch's older format")
        system = self.plain(cursor)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise BadPickle("it was written on a big-endian machine")
        self.object_start = cursor.position
        skip(cursor)
        if cursor.position - self.object_start > LARGEST_PICKLE:
            raise BadPickle(f"its pickle is larger than {LARGEST_PICKLE:,} bytes")
        keys = self.plain(cursor)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
            raise BadPickle("the list of its storages is no list of different names")
        self.keys = keys
        self.data_start = cursor.position

    @staticmethod
    def plain(cursor: Cursor) -> Any:
        return Machine(cursor, calls={}, persistent=no_persistent_id).run()

    def read(self) -> Any:
        """The object. Its pickle runs twice: first to learn the types of the storages, without which none is found."""
        types: dict[str, tuple[torch.dtype, int]] = {}

        def learn(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if types.setdefault(key, (dtype, count)) != (dtype, count):
                raise BadPickle(f"storage '{key}' is said to have two types or sizes")
            return torch.empty(count, dtype=dtype, device="meta")  # as large as said, and nothing is allocated

        self.run(learn)
        if types.keys() - set(self.keys):
            raise BadPickle(f"storage '{min(types.keys() - set(self.keys))[:40]}' is not in it")
        places: dict[str, int] = {}
        cursor = Cursor(self.content, self.data_start)
        for key in self.keys:
            if key not in types:
                raise BadPickle(f"storage '{key[:40]}' is in it, but nothing says of what type it is")
            dtype, count = types[key]
            held = int.from_bytes(cursor.take(8), "little")
            if held != count:
                raise BadPickle(f"storage '{key[:40]}' has {held:,} elements, not {count:,}")
            places[key] = cursor.position
            cursor.pass_over(count * dtype.itemsize)

        def load(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if key not in self.storages:
                # Read and not mapped: numbers lie here at any address, and tensors want theirs aligned.
                raw = bytearray(count * dtype.itemsize)
                self.stream.seek(places[key])
                if self.stream.readinto(raw) != len(raw):
                    raise BadPickle("it became shorter while it was read; it is truncated")
                whole = torch.frombuffer(raw, dtype=dtype) if count else torch.empty(0, dtype=dtype)
                self.storages[key] = whole
            return self.storages[key]

        return self.run(load)

    def run(self, storages: Any) -> Any:
        cursor = Cursor(self.content, self.object_start)
        return Machine(cursor, calls=CALLS, persistent=persistent_id(storages)).run()


def read_legacy(path: Path) -> Any:
    """What a file of `torch.save` from before 1.6 holds."""
    with open(path, "rb") as stream:
        return LegacyFile(stream).read()
