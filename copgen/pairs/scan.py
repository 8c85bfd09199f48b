"""Scan the headers of a shard's tar without unpacking it: where the members' data are, and that nothing else exists."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copgen.pairs import dali_index, layout
from copgen.pairs.diagnosis import refusal
from copgen.pairs.plan import Contents
from copgen.pairs.tar import BLOCK, MAX_MEMBER_BYTES, header, padded, total_bytes
from copgen.runtime.errors import DataError


@dataclass(frozen=True)
class Members:
    """The positions of the members of a shard.

    Attributes:
        start: index of its first pair.
        components: names of the columns.
        offsets: (pairs, components) int64, start of the data, bytes.
        sizes: (pairs, components) int32 or int64, bytes.
    """

    start: int
    components: tuple[str, ...]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int32] | NDArray[np.int64]

    def index_text(self) -> str:
        """The content of the shard's DALI index."""
        rows = zip(self.offsets.tolist(), self.sizes.tolist(), strict=True)
        return dali_index.text(
            [dali_index.line(self.start + row, self.components, *columns) for row, columns in enumerate(rows)]
        )


def scan(folder: Path, plan: Contents, number: int) -> Members:
    """The members of shard `number`, from its headers only; no data are read, nothing is written.

    Every header must equal, byte for byte, the one that the writer gives the next member of the plan.

    Raises:
        DataError: anything else: a link, a device, an unexpected or duplicate name, a split or incomplete sample, a
            size over the cap, a truncated file. The error names the shard and the member.
    """
    path = layout.tar_path(folder, number)
    indices = plan.shard_range(number)
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", fix=layout.RUN_VERIFY) from None
    try:
        end = os.fstat(file).st_size
        # Every member has a header, which bounds the rows that fit, however many a damaged plan claims.
        rows = min(len(indices), end // (BLOCK * len(plan.components)) + 1)
        places = np.empty((2, rows, len(plan.components)), np.int64)
        position = 0
        for row, index in enumerate(indices):
            key = layout.key(index)
            for column, component in enumerate(plan.components):
                block = os.pread(file, BLOCK, position)
                size = _octal(block[124:135])
                if size > MAX_MEMBER_BYTES or block != header(f"{key}.{component}", max(size, 0)):
                    raise refusal(path, file, position, plan, number, row, column)
                position += BLOCK
                places[:, row, column] = position, size
                position += padded(size)
        if end != total_bytes(position) or any(os.pread(file, end - position, position)):
            raise refusal(path, file, position, plan, number, len(indices), 0)
    finally:
        os.close(file)
    return Members(indices.start, plan.components, places[0], places[1])


def _octal(digits: bytes) -> int:
    """The number in a size field as the writer formats it; -1 for any other content."""
    try:
        return int(digits, 8) if digits.isdigit() else -1
    except ValueError:
        return -1
