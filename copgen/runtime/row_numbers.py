"""Row numbers as people write them: 1,5,9 and 0-99, or a text file of them."""

from __future__ import annotations

import re
from pathlib import Path

from copgen.runtime.errors import UsageError

LARGEST = 10**6
_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


def parse_rows(text: str, *, what: str = "row") -> tuple[int, ...]:
    """Row numbers in the order they are written, from '1,5,9', '0-99', '0-4,9', or the name of a file of such parts.

    A file may have them one a line, with comments after '#'. `what` they are numbers of is named in errors.

    Raises:
        UsageError: not a number or range, a range that goes down, none at all, or too many; with the part.
    """
    path = Path(text)
    if any(mark in text for mark in "/.") or path.is_file():
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UsageError(f"{text} cannot be read: {reason}.", fix="Write 1,5,9 or 0-99, or name a file.") from None
        text = ",".join(line.partition("#")[0] for line in lines)
    rows: list[int] = []
    for part in re.split(r"[\s,]+", text.strip(" \t,")):
        match = _PART.fullmatch(part)
        if match is None:
            raise UsageError(
                f"'{part}' is no {what} number, nor a range of them.", fix="Write 1,5,9 or 0-99, or name a file."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"The range '{part}' goes down.", fix=f"Write {last}-{first}.")
        if len(rows) + last - first >= LARGEST:
            raise UsageError(f"'{part}' makes more than {LARGEST:,} {what}s.")
        rows.extend(range(first, last + 1))
    return tuple(rows)
