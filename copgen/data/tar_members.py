"""The regular files in an uncompressed tar: where their bytes are. Nothing is unpacked.

USTAR, and the long names of GNU tar and of pax. Folders, links and devices are skipped.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from copgen.runtime.errors import DataError

_BLOCK = tarfile.BLOCKSIZE
_LONGEST_NAME = 2**16
_REGULAR = (b"0", b"\0")
_OCTAL = frozenset(b"01234567")
_LONGEST_SIZE = 19  # digits, of 2**63
_FIX = "It is truncated or damaged: fetch it again. A compressed tar must be unpacked to .tar first."


@dataclass(frozen=True)
class Member:
    """The name of a file, and the place of its bytes in the tar."""

    name: str
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """The regular files of a tar, in order.

    Raises:
        DataError: it cannot be read, is not a tar, or ends within a file; the error names it.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", fix="Check its permissions.") from None
    try:
        yield from _members(path, file)
    finally:
        os.close(file)


def _members(path: Path, file: int) -> Iterator[Member]:
    end, position = os.fstat(file).st_size, 0
    name, size = None, None  # from an extension header, for the next member
    while len(block := os.pread(file, _BLOCK, position)) == _BLOCK and any(block):
        kind, stated = block[156:157], _size(path, block, position)
        _check_sum(path, block, position)
        position += _BLOCK
        length = stated if size is None or kind not in _REGULAR else size
        if length < 0 or position + length > end:
            raise DataError(f"{path} is truncated at byte {end:,}, within the member at byte {position:,}.", fix=_FIX)
        if kind in _REGULAR:
            if name is None:
                name = _text(block[:100])
                if block[257:263] == b"ustar\0" and block[345]:
                    name = f"{_text(block[345:500])}/{name}"
            yield Member(name, position, length)
            name, size = None, None
        elif kind in (b"L", b"x"):
            data = os.pread(file, min(length, _LONGEST_NAME), position)
            if kind == b"L":
                name = _text(data)
            else:
                known = _pax(data)
                name = known.get("path", name)
                if "size" in known:
                    size = _pax_size(path, known["size"], position)
        elif kind != b"g":
            name, size = None, None
        position += length + -length % _BLOCK
    if len(block) not in (0, _BLOCK):
        raise DataError(f"{path} is truncated at byte {end:,}.", fix=_FIX)
    if position == 0:
        raise DataError(f"{path} is empty.", fix=_FIX)


def _size(path: Path, block: bytes, position: int) -> int:
    field = block[124:136]
    if field[0] & 0x80:  # GNU: a binary number
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not set(digits) <= _OCTAL:
        raise DataError(f"{path} has no tar header at byte {position:,}.", fix=_FIX)
    return int(digits or b"0", 8)


def _pax_size(path: Path, text: str, position: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_SIZE):
        raise DataError(f"{path} has a pax header with an invalid size at byte {position:,}.", fix=_FIX)
    return int(text)


def _check_sum(path: Path, block: bytes, position: int) -> None:
    stated = block[148:156].rstrip(b"\0 ").lstrip(b" ")
    if not stated or not set(stated) <= _OCTAL or int(stated, 8) != sum(block) - sum(block[148:156]) + 8 * 32:
        raise DataError(f"{path} has no tar header at byte {position:,}.", fix=_FIX)


def _text(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0", 1)[0])


def _pax(data: bytes) -> dict[str, str]:
    """The records of a pax header: '<length> <key>=<value>' and a line break each."""
    found, position = {}, 0
    while position < len(data):
        digits = data[position : position + 20].split(b" ", 1)[0]
        if not digits.isdigit() or not 0 < int(digits) <= len(data) - position:
            break
        key, _, value = data[position + len(digits) + 1 : position + int(digits) - 1].partition(b"=")
        found[os.fsdecode(key)] = os.fsdecode(value)
        position += int(digits)
    return found
