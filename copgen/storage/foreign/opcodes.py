"""The alphabet of pickle: bytes to (opcode, argument) pairs, every length checked against the bytes that are there.

Reading opcodes does nothing with them; `machine.py` gives them their meaning. Of the alphabet, only what needs no
lookup is known: extension codes and out-of-band buffers are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST_OPCODES = 1_000_000
_LONGEST_LINE = 4096
_LONGEST_INTEGER = 1024  # bytes


class BadPickle(ValueError):
    """A pickle that cannot be read, and why."""


@dataclass
class Cursor:
    """A place in a buffer that never moves beyond its end."""

    buffer: memoryview
    position: int = 0

    def pass_over(self, n: int) -> None:
        """Move n bytes on."""
        if self.position + n > len(self.buffer):
            raise BadPickle(f"it ends at byte {len(self.buffer):,}, in the middle of a value; it is truncated")
        self.position += n

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        start = self.position
        self.pass_over(n)
        return bytes(self.buffer[start : self.position])

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def line(self) -> str:
        """Text up to the next newline."""
        ahead = bytes(self.buffer[self.position : self.position + _LONGEST_LINE])
        length = ahead.find(b"\n")
        if length < 0 and len(ahead) < _LONGEST_LINE:
            self.pass_over(len(ahead) + 1)  # which says that it is truncated
        if length < 0:
            raise BadPickle(f"no end of line within {_LONGEST_LINE} bytes of byte {self.position:,}")
        self.position += length + 1
        return text(ahead[:length])


def text(raw: bytes) -> str:
    """UTF-8; lone surrogates pass, as Python's own pickles have them."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise BadPickle("a text in it is not UTF-8") from None


def whole(line: str) -> int:
    try:
        return int(line)
    except ValueError:
        raise BadPickle(f"'{line[:40]}' stands where a number belongs") from None


def integer_line(cursor: Cursor) -> int | bool:
    line = cursor.line()
    return {"00": False, "01": True}[line] if line in ("00", "01") else whole(line)


def float_line(cursor: Cursor) -> float:
    line = cursor.line()
    try:
        return float(line)
    except ValueError:
        raise BadPickle(f"'{line[:40]}' stands where a number belongs") from None


def integer(cursor: Cursor, width: int) -> int:
    length = cursor.unsigned(width)
    if length > _LONGEST_INTEGER:
        raise BadPickle(f"an integer of {length:,} bytes")
    return int.from_bytes(cursor.take(length), "little", signed=True)


def quoted(cursor: Cursor) -> str:
    line = cursor.line()
    if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"" or "\\" in line:
        raise BadPickle("a quoted string that is not plain")
    return line[1:-1]


def latin(raw: bytes) -> str:
    """Python 2's strings, which hold bytes or text."""
    return raw.decode("latin-1")


Argument = Callable[[Cursor], Any]


def nothing(cursor: Cursor) -> None:
    return None


def unsigned(width: int) -> Argument:
    return lambda cursor: cursor.unsigned(width)


def sized(width: int, decode: Callable[[bytes], Any] = bytes) -> Argument:
    return lambda cursor: decode(cursor.take(cursor.unsigned(width)))


_ALPHABET: dict[bytes, tuple[str, Argument]] = {
    b"\x80": ("PROTO", unsigned(1)),
    b"\x95": ("FRAME", unsigned(8)),
    b".": ("STOP", nothing),
    b"(": ("MARK", nothing),
    b"0": ("POP", nothing),
    b"1": ("POP_MARK", nothing),
    b"2": ("DUP", nothing),
    # Values
    b"N": ("VALUE", nothing),
    b"\x88": ("VALUE", lambda cursor: True),
    b"\x89": ("VALUE", lambda cursor: False),
    b"I": ("VALUE", integer_line),
    b"L": ("VALUE", lambda cursor: whole(cursor.line().removesuffix("L"))),
    b"J": ("VALUE", lambda cursor: struct.unpack("<i", cursor.take(4))[0]),
    b"K": ("VALUE", unsigned(1)),
    b"M": ("VALUE", unsigned(2)),
    b"\x8a": ("VALUE", lambda cursor: integer(cursor, 1)),
    b"\x8b": ("VALUE", lambda cursor: integer(cursor, 4)),
    b"F": ("VALUE", float_line),
    b"G": ("VALUE", lambda cursor: struct.unpack(">d", cursor.take(8))[0]),
    b"V": ("VALUE", Cursor.line),
    b"X": ("VALUE", sized(4, text)),
    b"\x8c": ("VALUE", sized(1, text)),
    b"\x8d": ("VALUE", sized(8, text)),
    b"S": ("VALUE", quoted),
    b"T": ("VALUE", sized(4, latin)),
    b"U": ("VALUE", sized(1, latin)),
    b"B": ("VALUE", sized(4)),
    b"C": ("VALUE", sized(1)),
    b"\x8e": ("VALUE", sized(8)),
    b"\x96": ("VALUE", sized(8)),
    # Containers
    b"]": ("EMPTY_LIST", nothing),
    b"}": ("EMPTY_DICT", nothing),
    b"\x8f": ("EMPTY_SET", nothing),
    b")": ("TUPLE_OF", lambda cursor: 0),
    b"\x85": ("TUPLE_OF", lambda cursor: 1),
    b"\x86": ("TUPLE_OF", lambda cursor: 2),
    b"\x87": ("TUPLE_OF", lambda cursor: 3),
    b"t": ("TUPLE", nothing),
    b"l": ("LIST", nothing),
    b"d": ("DICT", nothing),
    b"\x91": ("FROZENSET", nothing),
    b"a": ("APPEND", nothing),
    b"e": ("APPENDS", nothing),
    b"s": ("SETITEM", nothing),
    b"u": ("SETITEMS", nothing),
    b"\x90": ("ADDITEMS", nothing),
    # The memo
    b"p": ("PUT", lambda cursor: whole(cursor.line())),
    b"q": ("PUT", unsigned(1)),
    b"r": ("PUT", unsigned(4)),
    b"\x94": ("MEMOIZE", nothing),
    b"g": ("GET", lambda cursor: whole(cursor.line())),
    b"h": ("GET", unsigned(1)),
    b"j": ("GET", unsigned(4)),
    # Names, and what would be calls
    b"c": ("GLOBAL", lambda cursor: (cursor.line(), cursor.line())),
    b"\x93": ("STACK_GLOBAL", nothing),
    b"i": ("INST", lambda cursor: (cursor.line(), cursor.line())),
    b"o": ("OBJ", nothing),
    b"R": ("REDUCE", nothing),
    b"\x81": ("NEWOBJ", nothing),
    b"\x92": ("NEWOBJ_EX", nothing),
    b"b": ("BUILD", nothing),
    b"Q": ("BINPERSID", nothing),
}
_BY_CODE = {code[0]: known for code, known in _ALPHABET.items()}


def opcodes(cursor: Cursor) -> Iterator[tuple[str, Any]]:
    """(name, argument) of each opcode up to and with STOP; the cursor then stands behind the pickle.

    Raises:
        BadPickle: truncated, an opcode outside the alphabet, or too many of them.
    """
    for _ in range(MOST_OPCODES):
        code = cursor.take(1)[0]
        if code not in _BY_CODE:
            raise BadPickle(f"byte {cursor.position - 1:,} is {code:#04x}, which is no opcode that is read here")
        name, argument = _BY_CODE[code]
        yield name, argument(cursor)
        if name == "STOP":
            return
    raise BadPickle(f"it has more than {MOST_OPCODES:,} opcodes")


def skip(cursor: Cursor) -> None:
    """Move the cursor behind a pickle without giving it a meaning."""
    for _ in opcodes(cursor):
        pass
