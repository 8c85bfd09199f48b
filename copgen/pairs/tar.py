"""The tar of a shard, byte by byte: USTAR, with every field that could vary set to zero.

A member's header is a pure function of its name and size. So the reader does not interpret headers: it computes the
expected one and compares. A header that differs is refused, and only then parsed, to explain it (diagnosis.py).
"""

from __future__ import annotations

import hashlib
import tarfile
from typing import BinaryIO

BLOCK = tarfile.BLOCKSIZE
RECORD = tarfile.RECORDSIZE
MAX_MEMBER_BYTES = 64 * 2**20
SPAN = 2**20  # bytes per hash update and write
_MODE_UID_GID = b"0000644\0" + b"0000000\0" * 2
_MTIME = b"00000000000\0"
_AFTER_CHECKSUM = (b"0" + bytes(100) + b"ustar\x0000").ljust(BLOCK - 156, b"\0")
_PADDING = bytes(BLOCK)
_FIXED_SUM = sum(_MODE_UID_GID + _MTIME + b" " * 8 + _AFTER_CHECKSUM)


def header(name: str, size: int) -> bytes:
    """The 512-byte USTAR header of a regular file: mode 0644, owner 0, mtime 0.

    Equal to the header of the standard library's `tarfile`, in a tenth of the time (tests/pairs/test_tar.py).
    """
    name_bytes, size_bytes = name.encode("ascii"), b"%011o\0" % size
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(name_bytes) + sum(size_bytes))
    return name_bytes.ljust(100, b"\0") + _MODE_UID_GID + size_bytes + _MTIME + checksum + _AFTER_CHECKSUM


def padded(size: int, unit: int = BLOCK) -> int:
    """`size` rounded up to a multiple of `unit`."""
    return -(-size // unit) * unit


def total_bytes(end_of_members: int) -> int:
    """The size of a tar whose last member ends at this offset: two zero blocks, then zeros to a whole record."""
    return padded(end_of_members + 2 * BLOCK, RECORD)


class TarWriter:
    """Writes members to a stream and hashes them, in spans of about 1 MiB instead of member by member.

    Hashing and writing release the GIL, and getting it back from an encoder thread may take longer than both.

    Attributes:
        bytes: size of the members so far; after `close`, of the whole file.
        sha256: hash of what is written; after `close`, of the whole file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._parts: list[bytes] = []
        self._written = 0
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def add(self, *members: tuple[str, bytes]) -> list[int]:
        """Add members, (name, data) each; returns the offsets of their data."""
        offsets: list[int] = []
        for name, data in members:
            size = len(data)
            if size > MAX_MEMBER_BYTES:
                raise ValueError(f"member {name} has {size} bytes, more than {MAX_MEMBER_BYTES}")
            offsets.append(self.bytes + BLOCK)
            self._parts += header(name, size), data, _PADDING[: -size % BLOCK]
            self.bytes += BLOCK + padded(size)
        if self.bytes - self._written >= SPAN:
            self._write()
        return offsets

    def close(self) -> None:
        """Write the rest, and the end of the archive."""
        end = bytes(total_bytes(self.bytes) - self.bytes)
        self._parts.append(end)
        self.bytes += len(end)
        self._write()

    def _write(self) -> None:
        span = b"".join(self._parts)
        self._parts, self._written = [], self.bytes
        self.sha256.update(span)
        self._stream.write(span)
