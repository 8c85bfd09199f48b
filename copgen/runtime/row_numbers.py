"""Parses row numbers such as 1,5,9 and 0-99, or a text file of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from copgen.runtime.errors import UsageError

LARGEST = 10**6
_DECIMAL = re.compile(r"[0-9.,\s-]+")  # numbers with points are not the name of a file
_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


def parse_rows(text: str, *, what: str = "row") -> tuple[int, ...]:
    """Row numbers in the order they are written, from '1,5,9', '0-99', '0-4,9', or the name of a file of such parts.

    A file may have one per line, with comments after '#'. Errors call the rows `what`.

    Raises:
        UsageError: not a number or range, a descending range, no numbers, or too many; names the part.
    """
    path = Path(text)
    named = any(mark in text for mark in "/.") and not _DECIMAL.fullmatch(text)
    if named or os.path.isfile(path):  # False for a long list, which cannot be a name
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UsageError(f"{text} cannot be read: {reason}.", fix="Pass 1,5,9 or 0-99, or a file.") from None
        text = ",".join(line.partition("#")[0] for line in lines)
    rows: list[int] = []
    for part in re.split(r"[\s,]+", text.strip(" \t,")):
        match = _PART.fullmatch(part)
        if match is None:
            raise UsageError(
                f"'{part}' is not a {what} number or a range of them.", fix="Pass 1,5,9 or 0-99, or a file."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"The range '{part}' is descending.", fix=f"Pass {last}-{first}.")
        if len(rows) + last - first >= LARGEST:
            raise UsageError(f"'{part}' is more than {LARGEST:,} {what} numbers.")
        rows.extend(range(first, last + 1))
    return tuple(rows)
