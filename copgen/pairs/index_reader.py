"""The positions of a shard's members from its DALI index, which is read in a tenth of the time of a scan of the tar.

An index that was tampered with cannot mislead: `read_member` compares the header before the data, byte for byte, with
the one that the writer gives this member.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from copgen.pairs import dali_index, layout
from copgen.pairs.diagnosis import FIX
from copgen.pairs.plan import Contents
from copgen.pairs.scan import Members
from copgen.pairs.tar import BLOCK, MAX_MEMBER_BYTES, header
from copgen.runtime.errors import DataError
from copgen.storage.kept_files import KeptFiles, OpenFile


def read_index(folder: Path, plan: Contents, number: int) -> Members:
    """The members of shard `number`, from its index.

    Raises:
        DataError: the index is missing, or is not that of the plan's members; the error names it.
    """
    path = layout.index_path(folder, number)
    indices, width = plan.shard_range(number), len(plan.components)
    try:
        words = path.read_bytes().split()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", fix=layout.RUN_VERIFY) from None
    rows = len(indices)
    expected = [component.encode() for component in plan.components] * rows
    start = [dali_index.VERSION.encode(), str(rows).encode()]
    if words[:2] != start or len(words) != 2 + 4 * rows * width or words[2::4] != expected:
        raise DataError(f"{path} is not the index of the plan's {rows:,} pairs.", fix=layout.RUN_VERIFY)
    try:
        offsets, sizes = (np.array(words[first::4]).astype(np.int64).reshape(rows, width) for first in (3, 4))
    except (ValueError, OverflowError):
        raise DataError(f"{path} has an offset or a size that is not a number.", fix=layout.RUN_VERIFY) from None
    return Members(indices.start, plan.components, offsets, sizes.astype(np.int32))


def opened_shard(folder: Path, number: int, kept: KeptFiles | None = None) -> OpenFile:
    """The tar of a shard, for `read_member`.

    Args:
        folder: the pairs folder.
        number: of the shard.
        kept: shards that may be open already.

    Raises:
        DataError: it cannot be opened.
    """
    path = layout.tar_path(folder, number)
    try:
        return OpenFile(path) if kept is None else kept[path]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", fix=layout.RUN_VERIFY) from None


def read_member(folder: Path, number: int, file: OpenFile, members: Members, row: int, column: int) -> bytes:
    """The bytes of one member of an open tar, whose header must be the one that copgen writes.

    Raises:
        DataError: anything else is there; the error names shard and member.
    """
    offset, size = int(members.offsets[row, column]), int(members.sizes[row, column])
    name = f"{layout.key(members.start + row)}.{members.components[column]}"
    data = b""
    if offset >= BLOCK and 0 <= size <= MAX_MEMBER_BYTES:
        data = file.read(BLOCK + size, offset - BLOCK)
    if len(data) != BLOCK + size or not data.startswith(header(name, size)):
        path = layout.tar_path(folder, number)
        raise DataError(f"{path}: member {name} is not where the shard's index says, or its header differs.", fix=FIX)
    return data[BLOCK:]
