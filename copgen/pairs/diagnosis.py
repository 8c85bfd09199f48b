"""Explain why a tar is refused: inspects the one header that differs from the expected one, and says what it is.

Runs only after a refusal, never on good data. Headers are read by the standard library's parser; nothing is unpacked.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from copgen.pairs import layout
from copgen.pairs.plan import Contents
from copgen.pairs.tar import BLOCK, MAX_MEMBER_BYTES, padded
from copgen.runtime.errors import DataError

_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
}
_NAME_BYTES = 100  # size of the name field of a header
FIX = (
    "The shard is damaged or was not written by copgen: do not use it. If the folder is yours, run `copgen verify` for "
    "the command that regenerates the shard."
)


def refusal(path: Path, file: int, position: int, plan: Contents, number: int, row: int, column: int) -> DataError:
    """The error for the header at `position`, where member `column` of sample `row` belongs (row == count: the end)."""
    return DataError(f"{path}: {_reason(file, position, plan, number, row, column)}.", fix=FIX)


def _reason(file: int, position: int, plan: Contents, number: int, row: int, column: int) -> str:
    indices = plan.shard_range(number)
    at_end = row == len(indices)
    due = "the end of the archive" if at_end else f"{layout.key(indices[row])}.{plan.components[column]}"
    end = os.fstat(file).st_size
    block = os.pread(file, BLOCK, position)
    if len(block) < BLOCK:
        return f"it is truncated at byte {end}, before {due}"
    if not any(block):
        if at_end:
            return "it does not end as copgen's archives do: it is truncated, or something follows its end"
        return f"it ends after {row} of {len(indices)} samples, before {due}"
    try:
        member = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
    except tarfile.HeaderError as error:
        return f"the header at byte {position}, where {due} should be, is damaged ({error})"
    name = ascii(member.name)[1:-1]
    return _about_member(member, name, block, position, end) or _about_place(
        file, position, plan, number, row, column, name
    )


def _about_member(member: tarfile.TarInfo, name: str, block: bytes, position: int, end: int) -> str | None:
    """What is wrong with a member itself, wherever it is; None if nothing."""
    if b"\0" in block[:_NAME_BYTES].rstrip(b"\0"):
        return f"the name at byte {position}, {name} up to there, continues after a NUL"
    if member.type in _KINDS:
        return f"member {name} is {_KINDS[member.type]}, not a regular file"
    if member.type != tarfile.REGTYPE:
        return f"member {name} has a header of type {member.type!r}, not of a regular file"
    if name.startswith("/"):
        return f"member {name} has an absolute name"
    if ".." in PurePosixPath(name).parts:
        return f"member {name} has '..' in its name"
    if member.size < 0:
        return f"member {name} claims a size of {member.size} bytes"
    if member.size > MAX_MEMBER_BYTES:
        return f"member {name} claims {member.size} bytes, more than the cap of {MAX_MEMBER_BYTES}"
    if position + BLOCK + padded(member.size) > end:
        return f"it is truncated at byte {end}, inside member {name}"
    return None


def _about_place(file: int, position: int, plan: Contents, number: int, row: int, column: int, name: str) -> str:
    """What is wrong with a valid member that is in the place of another."""
    indices = plan.shard_range(number)
    keys = [layout.key(index) for index in indices[: row + 1]]
    before = [f"{key}.{component}" for key in keys[:row] for component in plan.components]
    if row == len(indices):
        if name in before:
            return f"member {name} occurs twice"
        return f"member {name} comes after the last sample of the plan"
    before += [f"{keys[row]}.{component}" for component in plan.components[:column]]
    due = f"{keys[row]}.{plan.components[column]}"
    if name == due:
        return f"the header of member {name} differs from the one that copgen writes"
    if name in before:
        return f"member {name} occurs twice"
    if name.split(".", 1)[0] in keys[:row]:
        return f"the members of sample {name.split('.', 1)[0]} are not adjacent: {name} is where {due} should be"
    if due in _names(file, position):
        if column:
            return f"the members of sample {keys[row]} are not adjacent: {name} comes before {due}"
        return f"member {name} comes before {due}"
    if column:
        return f"sample {keys[row]} has no {plan.components[column]}: {name} is in its place"
    return f"member {name} is where {due} should be"


def _names(file: int, position: int) -> Iterator[str]:
    """The names of the members from `position` on, as far as the headers can be read."""
    while len(block := os.pread(file, BLOCK, position)) == BLOCK and any(block):
        try:
            member = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
        except tarfile.HeaderError:
            return
        if member.size < 0:
            return
        yield member.name
        position += BLOCK + padded(member.size)
