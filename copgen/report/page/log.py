"""`metrics.jsonl` as curves. The file may be damaged, or be written at this moment; what cannot be read is counted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from copgen.storage.files import read_bytes


@dataclass(frozen=True)
class Curve:
    """A metric over the run.

    Attributes:
        x: training samples drawn, or updates where samples are not logged; ascending.
        y: the metric; finite.
    """

    x: list[float]
    y: list[float]

    def thinned(self, most: int = 400) -> Curve:
        """At most about that many points: means of neighbouring ones."""
        step = math.ceil(len(self.x) / most)
        if step <= 1:
            return self
        starts = range(0, len(self.x), step)
        return Curve(
            [_mean(self.x[start : start + step]) for start in starts],
            [_mean(self.y[start : start + step]) for start in starts],
        )


@dataclass(frozen=True)
class Log:
    """All curves of a run.

    Attributes:
        curves: by the name of the metric.
        lines: how many were read.
        damaged: how many were skipped; a last line without its end is not counted, as it is still being written.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)
    lines: int = 0
    damaged: int = 0

    def last(self, name: str) -> float | None:
        """The latest value of a metric; None if it was never logged."""
        return self.curves[name].y[-1] if name in self.curves else None


def read_log(path: Path) -> Log:
    """The curves of a metrics file; empty if there is none.

    Raises:
        EnvironmentFault: it exists, but is not readable.
    """
    if not path.exists():
        return Log()
    texts = read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    curves: dict[str, Curve] = {}
    lines = damaged = 0
    for number, text in enumerate(texts):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            damaged += number < len(texts) - 1
            continue
        x = _number(line.get("samples", line.get("update"))) if isinstance(line, dict) else None
        if x is None:
            damaged += 1
            continue
        lines += 1
        for name, value in line.items():
            if (y := _number(value)) is not None:
                curve = curves.setdefault(name, Curve([], []))
                curve.x.append(x)
                curve.y.append(y)
    return Log(curves, lines, damaged)


def _number(value: object) -> float | None:
    """A finite number that a chart can show."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    return None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
