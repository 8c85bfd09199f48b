"""numpy's .npy files: arrays of numbers, and pickled arrays of objects, whose pickle goes through the same machine."""

from __future__ import annotations

import ast
import math
import mmap
import re
from pathlib import Path
from typing import Any

import numpy as np

from copgen.storage.foreign.calls import CALLS, PLAIN_TYPE, ForeignArray, is_size, label, no_persistent_id
from copgen.storage.foreign.machine import Machine
from copgen.storage.foreign.opcodes import BadPickle, Cursor

SIGNATURE = b"\x93NUMPY"
_OBJECTS = ("|O", "O")
_LONGEST_HEADER = 10_000


def read_array(path: Path) -> Any:
    """The array of a .npy file; what an array of objects holds, alone where it is one object."""
    with open(path, "rb") as stream:
        content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
    cursor = Cursor(content, len(SIGNATURE))
    major = cursor.take(2)[0]
    kind, columns_first, shape = described(cursor.take(cursor.unsigned(2 if major == 1 else 4)))
    start = cursor.position
    if kind in _OBJECTS:
        return objects(Machine(cursor, calls=CALLS, persistent=no_persistent_id).run())
    dtype, count = np.dtype(kind), math.prod(shape)
    if len(content) - start != count * dtype.itemsize:
        raise BadPickle(
            f"it has {len(content) - start:,} bytes of numbers where its shape {shape} needs {count * dtype.itemsize:,}"
        )
    flat = np.frombuffer(content, dtype, count, start)
    return flat.reshape(shape, order="F") if columns_first else flat.reshape(shape)


def described(header: bytes) -> tuple[str, bool, tuple[int, ...]]:
    """(type, whether columns come first, shape) of a header, which is a Python literal."""
    try:
        found = ast.literal_eval(header[:_LONGEST_HEADER].decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise BadPickle("its numpy header is no literal") from None
    if not isinstance(found, dict) or found.keys() != {"descr", "fortran_order", "shape"}:
        raise BadPickle("its numpy header does not say type, order and shape")
    kind, columns_first, shape = found["descr"], found["fortran_order"], found["shape"]
    if not isinstance(kind, str) or not (kind in _OBJECTS or re.fullmatch(PLAIN_TYPE, kind)):
        raise BadPickle(f"it is an array of type {label(kind)}")
    if not isinstance(columns_first, bool) or not isinstance(shape, tuple) or not all(map(is_size, shape)):
        raise BadPickle("its numpy header has a shape or an order that is none")
    return kind, columns_first, shape


def objects(array: Any) -> Any:
    """What a pickled array of objects holds."""
    if not isinstance(array, ForeignArray):
        raise BadPickle("its pickle is no array")
    held = array.items()
    return held[0] if array.shape == () else held
