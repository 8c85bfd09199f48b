"""Many file names in little memory: one block of bytes instead of a Python object for each.

Worker processes share the block; a list of a million strings would be copied into each, as reading a Python object
changes its reference count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from torch import Tensor


class PackedNames:
    """Names by number, `names[k]`."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._block = b"".join(encoded)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"name {index} is not in 0..{len(self) - 1}")
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._block[start : int(self._ends[index])])

    def select(self, rows: Tensor) -> PackedNames:
        """The names of these rows."""
        return PackedNames([self[row] for row in rows.tolist()])
