"""How often a training run saves its state: after so many updates, or after so much time.

By time, the cost of a checkpoint is a fixed share of the run however fast the device is, and so is what a kill -9
loses. At a fixed number of updates, a fast GPU would wait for the disk as long as it computes.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

from pydantic import BeforeValidator

from copgen.runtime.counts import parse_count
from copgen.runtime.declaration import Flag, setting
from copgen.runtime.errors import UsageError
from copgen.runtime.panels import TRAINING

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h)")


def seconds_of(interval: int | str) -> float | None:
    """Seconds of a time such as 30s, 2min or 1.5h; None for a number of updates."""
    match = _TIME.fullmatch(interval.strip()) if isinstance(interval, str) else None
    return float(match[1]) * _SECONDS[match[2]] if match else None


def _checked(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected a number of updates, or a time such as 2min")
    if isinstance(value, str):
        if seconds := seconds_of(value):
            return value.strip()
        try:
            value = parse_count(value) if seconds is None else 0
        except UsageError:
            raise ValueError("neither a number of updates nor a time; pass 50, or 30s, 2min or 1h") from None
    if value < 1:
        raise ValueError("must be more than 0")
    return value


Interval = Annotated[int | str, BeforeValidator(_checked)]


def checkpoint_setting(default: int | str = "2min", **how: Any) -> Any:
    """Declares `checkpoint_every`."""
    text = "Updates or time between checkpoints: 50, 30s, 2min."
    return setting(default, text=text, flag=Flag(TRAINING, "EVERY"), **how)


class Every:
    """Says when something is due, given an interval in updates or as a time."""

    def __init__(self, interval: int | str) -> None:
        self.seconds = seconds_of(interval)
        self._updates = 0 if self.seconds is not None else int(interval)
        self.restart()

    def restart(self) -> None:
        """Count the time from now on."""
        self._since = time.monotonic()

    @property
    def elapsed(self) -> bool:
        """Whether the time is over; never for a number of updates."""
        return self.seconds is not None and time.monotonic() - self._since >= self.seconds

    def counts(self, update: int) -> bool:
        """Whether `update` updates are a multiple of the interval; never for a time."""
        return self._updates > 0 and update % self._updates == 0
