"""Unreadable images that a run tolerates: another takes their place, always the same one, and they are listed.

Each rank meets the images of its own share; they are counted and listed over all ranks.
"""

from __future__ import annotations

import threading

from copgen.distributed.ranks import Ranks
from copgen.runtime.errors import DataError


class Skipped:
    """The unreadable items met so far, at most `most` of them.

    Attributes:
        reasons: the error of each, by item.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.reasons: dict[int, str] = {}
        self._told: dict[int, str] = {}  # the same on all ranks
        self._lock = threading.Lock()

    def instead_of(self, item: int, error: DataError, items: int) -> int:
        """The item that takes the place of an unreadable one: the next, so that every run takes the same.

        Raises:
            DataError: `error`, if more than `most` items are unreadable, or all are.
        """
        with self._lock:
            self.reasons[item] = error.what
            if len(self.reasons) > self.most or len(self.reasons) >= items:
                raise _too_many(self.reasons) if self.most else error
        return (item + 1) % items

    def news(self, ranks: Ranks) -> list[str]:
        """The reasons that were not returned before, of all ranks, which call this together.

        Raises:
            DataError: more than `most` items are unreadable; on all ranks.
        """
        with self._lock:
            ours = [(item, reason) for item, reason in self.reasons.items() if item not in self._told]
        found = {item: reason for news in ranks.gathered(ours) for item, reason in news}
        news = {item: reason for item, reason in sorted(found.items()) if item not in self._told}
        self._told |= news
        with self._lock:
            self.reasons = {**news, **self.reasons}
        if len(self._told) > self.most:
            raise _too_many(self._told)
        return [*news.values()]


def _too_many(reasons: dict[int, str]) -> DataError:
    last = [*reasons.values()][-1]
    return DataError(
        f"{len(reasons):,} images are unreadable, the last: {last}", fix="Repair or remove them, or raise --skip-bad."
    )
