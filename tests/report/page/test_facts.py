"""The main numbers of a run: time and speed, also of one that was resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copgen.report.page.facts import _times
from copgen.report.page.log import read_log


def lines(path: Path, *seconds: float, samples: int = 100) -> Path:
    text = [json.dumps({"samples": samples * (k + 1), "seconds": second}) for k, second in enumerate(seconds)]
    path.write_text("\n".join(text) + "\n")
    return path


@pytest.mark.parametrize(
    ("seconds", "total", "rate"),
    [
        ((10.0, 20.0, 30.0), 30.0, 10.0),
        ((10.0, 20.0, 4.0, 8.0), 28.0, 25.0),  # resumed on a faster machine
        ((10.0, 5.0, 2.0), 17.0, 50.0),
        ((0.0,), 0.0, None),
    ],
)
def test_the_clock_restarts_when_a_run_is_resumed(
    seconds: tuple[float, ...], total: float, rate: float | None, tmp_path: Path
) -> None:
    assert _times(read_log(lines(tmp_path / "metrics.jsonl", *seconds))) == (total, rate)


def test_a_run_without_a_clock_has_no_times(tmp_path: Path) -> None:
    assert _times(read_log(tmp_path / "none")) is None
