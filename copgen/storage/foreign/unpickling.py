"""Python's unpickler, restricted: nothing that a file names is imported or called.

Two guards, each sufficient against code in a file. First, a name becomes a class of `records.py`: an inert one, whose
calls are recorded and refused by name, or one with a builder in `calls.py`. Second, before the unpickler runs, `scan`
refuses opcodes that refer to objects outside the file, sizes beyond the file, and keys that are expensive to hash.
Tensors and arrays are records until `resolved` replaces them, so no opcode reaches a method of torch or numpy.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import pickle
import pickletools
import struct
import sys
import tokenize
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from types import SimpleNamespace
from typing import IO, Any, cast

from safetensors import SafetensorError
from torch import Tensor

from copgen.storage.foreign.calls import CALLS, Calls, storage
from copgen.storage.foreign.records import (
    BadPickle,
    ForeignArray,
    Global,
    Inert,
    Known,
    Ledger,
    Opaque,
    Storage,
    Strided,
    expect,
    is_key,
    listed,
)

DEEPEST = 256
MOST_OPCODES = 1_000_000
LARGEST_PICKLE = 64 * 2**20
_LARGE = 2**16
_MOST_NAMES = 1000
_MOST_COMPUTED_KEYS = 1000
_LONGEST_INTEGER = 8192  # bits
# Errors of the readers of pickles, zip files, safetensors and numpy headers for damaged files.
FAULTS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError, TypeError),
    *(ValueError, Warning, pickle.UnpicklingError, struct.error, tokenize.TokenError, zipfile.BadZipFile),
    SafetensorError,
)

# The extension registry, buffers from outside, and persistent ids as text.
_REFUSED = frozenset({"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "PERSID"})
_TUPLE, _BUILT, _SCALAR = "a tuple", "something computed", "a scalar"
_KIND = {
    **dict.fromkeys(("int", "int_or_bool", "bytes", "bytes_or_str", "None", "bool", "str", "float"), _SCALAR),
    **dict.fromkeys(("tuple", "frozenset"), _TUPLE),
}
# Of each opcode: the number of values it pops below a mark, whether it also pops those above, the kinds that it pushes.
_EFFECTS = {
    opcode.name: (
        [*(one.name for one in opcode.stack_before), "mark"].index("mark"),
        any(one.name == "mark" for one in opcode.stack_before),
        [_KIND.get(one.name, _BUILT) for one in opcode.stack_after],
    )
    for opcode in pickletools.opcodes
}


class Mapped(mmap.mmap):
    """A mapped file that the unpickler can read from without a second copy."""

    def readinto(self, buffer: memoryview) -> int:
        start = self.tell()
        with memoryview(self)[start : start + len(buffer)] as content:
            buffer[: len(content)] = content
            self.seek(start + len(content))
            return len(content)

    def skimmed(self, n: int) -> bytes:
        """`read` for callers that need only the length of large data: zeros, which take no memory."""
        if n < _LARGE:
            return self.read(n)
        start = self.tell()
        self.seek(min(start + n, len(self)))
        return bytes(self.tell() - start)


Stream = io.BytesIO | Mapped


class Reader(pickle.Unpickler):
    """The unpickler, for a pickle of this length that passed `scan`."""

    def __init__(self, stream: Stream, calls: Calls, length: int) -> None:
        super().__init__(cast(Any, stream), encoding="latin1")
        self.calls = calls
        self.ledger = Ledger(MOST_OPCODES + length)
        self.names: dict[Global, type[Inert]] = {}
        self.storages: list[Storage] = []

    def find_class(self, module: str, name: str) -> Any:
        """A class of ours, whatever the name."""
        kind = Global(module, name)
        if kind not in self.names:
            expect(len(self.names) < _MOST_NAMES, f"it names more than {_MOST_NAMES:,} classes and functions")
            builder = self.calls.get(kind)
            own = {"kind": kind, "ledger": self.ledger, "builder": builder and staticmethod(builder)}
            self.names[kind] = type("Foreign", (Known if builder else Opaque,), own)
        return self.names[kind]

    def persistent_load(self, identity: Any) -> Any:
        found = storage(identity)
        if isinstance(found, Storage):
            self.storages.append(found)
        return found


def read_pickle(stream: Stream, *, calls: Calls = CALLS, largest: int = LARGEST_PICKLE) -> tuple[Any, list[Storage]]:
    """The content of the pickle at this position of the stream, with records for its tensors, and its storages.

    Raises:
        BadPickle: it asks for something to be called.
    """
    start = stream.tell()
    length = scan(stream, largest)
    stream.seek(start)
    reader = Reader(stream, calls, length)
    value = None
    try:
        value = reader.load()
    except FAULTS:
        if not reader.ledger.called:
            raise
    # A refused call is the best explanation for any later error.
    asked = reader.ledger.called
    if asked:
        raise BadPickle(f"it asks for {listed(asked)} to be called, which would run code; nothing was run")
    return value, reader.storages


def names_in(stream: Stream) -> list[Global]:
    """The classes and functions that a pickle names, as far as it can be parsed; nothing is built."""
    length = scan(stream, sys.maxsize)
    stream.seek(0)
    reader = Reader(stream, {}, length)
    with contextlib.suppress(*FAULTS):
        reader.load()
    return list(reader.names)


def scan(stream: Stream, largest: int) -> int:
    """Parse the opcodes of a pickle without building anything; returns its length, and leaves the stream at its end.

    It tracks what is needed if a value on the stack becomes a key: the value of an integer, or its kind.
    """
    start = stream.tell()
    stream.seek(0, io.SEEK_END)
    end = stream.tell()
    stream.seek(start)
    source = stream
    if isinstance(stream, Mapped):
        source = cast(Any, SimpleNamespace(read=stream.skimmed, readline=stream.readline, tell=stream.tell))
    stack: list[int | str] = []
    marks: list[int] = []
    memo: dict[int, int | str] = {}
    computed = 0
    try:
        opcodes: Iterator[tuple[Any, Any, Any]] = pickletools.genops(cast(IO[bytes], source))
        for count, (opcode, argument, place) in enumerate(opcodes):
            name = opcode.name
            if count >= MOST_OPCODES:
                raise BadPickle(f"it has more than {MOST_OPCODES:,} opcodes")
            if place - start > largest:
                raise BadPickle(f"its pickle is larger than {largest:,} bytes")
            if name in _REFUSED:
                raise BadPickle(f"byte {place:,} is {name}, which is not a supported opcode")
            if isinstance(argument, int) and argument.bit_length() > _LONGEST_INTEGER:
                raise BadPickle("it has an integer with thousands of digits")
            if name == "FRAME" and argument > end - place:
                raise BadPickle("one of its frames extends beyond the end; it is truncated")
            if name.endswith("PUT") or name == "MEMOIZE":
                index = len(memo) if argument is None else argument
                # The unpickler allocates for the largest index; picklers number consecutively.
                expect(0 <= index <= count, "its memo indices are not consecutive")
                memo[index] = stack[-1]
            elif name.endswith("GET"):
                stack.append(memo[argument])
            elif name == "DUP":
                stack.append(stack[-1])
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "POP" and marks and marks[-1] == len(stack):
                marks.pop()
            else:
                taken, marked, left = _EFFECTS[name]
                above: list[int | str] = []
                if marked:
                    above = stack[marks[-1] :]
                    del stack[marks.pop() :]
                below = stack[len(stack) - taken :]
                del stack[len(stack) - taken :]
                for key in keys_of(name, below, above):
                    computed += key is _BUILT
                    expect(key is not _TUPLE, "a dictionary or set has a key of type tuple")
                    expect(isinstance(key, str) or is_key(key), "a dictionary or set has a key that is too large")
                    expect(computed <= _MOST_COMPUTED_KEYS, "its dictionaries have too many keys that are not scalars")
                number = isinstance(argument, int) and left == [_SCALAR]
                stack += [argument] if number else left
    except (ValueError, LookupError) as error:
        if isinstance(error, BadPickle) or stream.tell() < end:
            raise
        raise BadPickle(f"it ends at byte {end:,}, in the middle of a value; it is truncated") from None
    return stream.tell() - start


def keys_of(name: str, below: list[int | str], above: list[int | str]) -> list[int | str]:
    """The values that an opcode hashes."""
    if name in ("SETITEMS", "DICT"):
        return above[::2]
    return above if name in ("ADDITEMS", "FROZENSET") else below[1:2] if name == "SETITEM" else []


def resolved(value: Any, load: Callable[[Storage], Tensor]) -> Any:
    """A value with its records replaced by tensors and labels; `load` returns the elements of a storage.

    Raises:
        BadPickle: it is nested too deeply, or has keys that are not scalars.
    """
    waiting: deque[tuple[Any, int]] = deque()
    done: dict[int, Any] = {}

    def settled(one: Any, depth: int) -> Any:
        expect(depth <= DEEPEST, f"it is nested deeper than {DEEPEST} levels")
        if isinstance(one, type):
            return one.kind  # type: ignore[attr-defined]
        if id(one) in done:
            return done[id(one)]
        if isinstance(one, Storage | Strided):
            whole = load(one if isinstance(one, Storage) else one.storage)
            done[id(one)] = whole if isinstance(one, Storage) else one.tensor(whole)
        elif isinstance(one, tuple):
            done[id(one)] = tuple(map(settled, one, repeat(depth + 1)))
        elif isinstance(one, list | dict | Opaque | ForeignArray):
            done[id(one)] = one
            waiting.append((one, depth + 1))
        else:
            return one
        return done[id(one)]

    whole = settled(value, 0)
    while waiting:
        one, depth = waiting.popleft()
        if isinstance(one, list):
            one[:] = map(settled, one, repeat(depth))
        elif isinstance(one, dict):
            for key, held in one.items():
                expect(is_key(key), f"a dictionary has a key of type {type(key).__name__}")
                one[key] = settled(held, depth)
        elif isinstance(one, Opaque):
            for part in (one.state, one.items, one.entries):
                settled(part, depth)
        else:
            settled(one.values, depth)
    return whole
