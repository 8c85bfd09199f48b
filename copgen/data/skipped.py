"""Unreadable images that a run tolerates: another takes their place, always the same one, and they are listed."""

from __future__ import annotations

import threading

from copgen.runtime.errors import DataError


class Skipped:
    """The unreadable items met so far, at most `most` of them.

    Attributes:
        reasons: the error of each, by item.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.reasons: dict[int, str] = {}
        self._told = 0
        self._lock = threading.Lock()

    def instead_of(self, item: int, error: DataError, items: int) -> int:
        """The item that takes the place of an unreadable one: the next, so that every run takes the same.

        Raises:
            DataError: `error`, if more than `most` items are unreadable, or all are.
        """
        with self._lock:
            self.reasons[item] = error.what
            if len(self.reasons) > self.most or len(self.reasons) >= items:
                if not self.most:
                    raise error
                raise DataError(
                    f"{len(self.reasons):,} images are unreadable, the last: {error.what}",
                    fix="Repair or remove them, or raise --skip-bad.",
                )
        return (item + 1) % items

    def news(self) -> list[str]:
        """The reasons that were not returned before."""
        with self._lock:
            reasons = list(self.reasons.values())[self._told :]
            self._told += len(reasons)
        return reasons
