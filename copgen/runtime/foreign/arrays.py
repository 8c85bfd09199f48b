"""numpy's .npy files: arrays of numbers, and pickled arrays of objects, whose pickle goes through the same machine."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from copgen.runtime.foreign.calls import CALLS, ForeignArray, no_persistent_id
from copgen.runtime.foreign.machine import Machine
from copgen.runtime.foreign.opcodes import BadPickle, Cursor

SIGNATURE = b"\x93NUMPY"
_KINDS = "fiubcSU"


def read_array(path: Path) -> Any:
    """The array of a .npy file; what an array of objects holds, alone where it is one object."""
    with open(path, "rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, columns_first, dtype = header(stream)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, EOFError) as error:
            raise BadPickle(f"its numpy header cannot be read ({str(error).splitlines()[0][:80]})") from None
        start = stream.tell()
        content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
    if dtype.hasobject:
        return objects(Machine(Cursor(content, start), calls=CALLS, persistent=no_persistent_id).run())
    if dtype.kind not in _KINDS or not dtype.isnative:
        raise BadPickle(f"it is an array of type {dtype}")
    count = 1
    for n in shape:
        count *= n
    if min(shape, default=0) < 0 or len(content) - start != count * dtype.itemsize:
        raise BadPickle(
            f"it has {len(content) - start:,} bytes of numbers where its shape {shape} needs {count * dtype.itemsize:,}"
        )
    return np.frombuffer(content, dtype, count, start).reshape(shape, order="F" if columns_first else "C")


def objects(array: Any) -> Any:
    """What a pickled array of objects holds."""
    if not isinstance(array, ForeignArray):
        raise BadPickle("its pickle is no array")
    held = array.items()
    return held[0] if array.shape == () else held
