"""Whether the images of a source are grey or in colour, from the headers of a few of them."""

from __future__ import annotations

from typing import Protocol

from copgen.data.decoding import read_header
from copgen.runtime.errors import DataError

LOOKED_AT = 32


class Files(Protocol):
    """The part of an encoded source that is looked at."""

    def __len__(self) -> int: ...

    def encoded(self, item: int, column: int) -> bytes: ...

    def where(self, item: int, column: int) -> str: ...


def channels_of(source: Files) -> int:
    """1 if `LOOKED_AT` images, evenly spaced from the first to the last, are grey, else 3.

    Those that cannot be read do not count; if none can, 3.
    """
    last = max(len(source) - 1, 0)
    items = sorted({round(k * last / (LOOKED_AT - 1)) for k in range(LOOKED_AT)}) if len(source) else []
    found = []
    for item in items:
        try:
            found.append(read_header(source.encoded(item, 0), source.where(item, 0)).channels)
        except DataError:
            continue
    return 1 if found and set(found) == {1} else 3
