"""Checkpoints are due after a number of updates, or after a time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from copgen.runtime.errors import UsageError
from copgen.runtime.settings import Settings, build
from copgen.training.intervals import Every, Interval, checkpoint_setting, seconds_of


class Run(Settings):
    """Settings with a checkpoint interval."""

    checkpoint_every: Interval = checkpoint_setting()


@pytest.mark.parametrize(
    ("given", "kept", "seconds"),
    [
        (50, 50, None),
        ("50", 50, None),
        ("1k", 1000, None),
        ("30s", "30s", 30.0),
        ("2min", "2min", 120.0),
        ("0.5 min", "0.5 min", 30.0),
        ("1.5h", "1.5h", 5400.0),
    ],
)
def test_an_interval_is_a_number_of_updates_or_a_time(given: Any, kept: Any, seconds: float | None) -> None:
    settings = Run.model_validate({"checkpoint_every": given})
    assert settings.checkpoint_every == kept
    assert seconds_of(settings.checkpoint_every) == seconds
    assert Run.model_validate(settings.tree()) == settings


@pytest.mark.parametrize("given", [0, -1, "0", "0s", "two minutes", "2 moons", "", 1.5, True, "-1min", "1e3s"])
def test_others_are_refused_with_their_value(given: Any) -> None:
    with pytest.raises(UsageError, match="checkpoint_every"):
        build(Run, {"checkpoint_every": given}, origin="test")


def test_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    updates, timed = Every(3), Every("2min")
    assert [count for count in range(1, 10) if updates.counts(count)] == [3, 6, 9]
    assert not any(timed.counts(count) for count in range(1, 10))
    clock[0] = 219.0
    assert (updates.elapsed, timed.elapsed) == (False, False)
    clock[0] = 220.0
    assert (updates.elapsed, timed.elapsed) == (False, True)
    timed.restart()
    assert (timed.elapsed, timed.seconds) == (False, 120.0)
