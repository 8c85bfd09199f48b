"""The slice `i/n` of shards that a worker starts with; after that it takes any unclaimed shards."""

from __future__ import annotations

import re
from dataclasses import dataclass

from copgen.runtime.environment import JobPlace
from copgen.runtime.errors import UsageError

_PATTERN = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class ShardSlice:
    """Worker `index` of `count`, from 0; the count may be unknown (None)."""

    index: int = 0
    count: int | None = 1

    def order(self, shards: int) -> list[int]:
        """All shards in the order in which this worker tries them.

        First its own: every `count`-th from `index`. Then the others' in reverse, as their owners go forward. If the
        count is unknown: all shards from `index` on, wrapping around.
        """
        if self.count is None:
            start = self.index % shards
            return [*range(start, shards), *range(start)]
        own = range(self.index, shards, self.count)
        return [*own, *(number for number in range(shards - 1, -1, -1) if number not in own)]

    def part(self, worker: int, workers: int) -> ShardSlice:
        """The slice of one of several workers that share this one."""
        return ShardSlice(self.index * workers + worker, None if self.count is None else self.count * workers)

    def __str__(self) -> str:
        return f"{self.index}/{'?' if self.count is None else self.count}"


def parse_slice(text: str) -> ShardSlice:
    """A slice from '0/4', '1/4', '2/4' or '3/4'.

    Raises:
        UsageError: not two whole numbers, or one out of range.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is not a slice.", fix="Pass i/n, such as 0/4 for the first of four workers.")
    index, count = int(match[1]), int(match[2])
    if index >= count:
        raise UsageError(f"There is no slice {text}.", fix=f"Pass 0/{count} to {count - 1}/{count}.")
    return ShardSlice(index, count)


def slice_of(place: JobPlace) -> ShardSlice:
    """The slice of a worker that a scheduler started."""
    return ShardSlice(place.index, place.count)
