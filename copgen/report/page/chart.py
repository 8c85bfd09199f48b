"""Charts: curves, bands, bars and limits over two axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from copgen.report.page.drawing import Anchor, Area, Dot, Drawing, Line, Mark, Point, Text, width_of
from copgen.report.page.log import Curve
from copgen.runtime.counts import format_count

WIDTH, HEIGHT = 480.0, 270.0
LEFT, RIGHT, BOTTOM, ROW = 40.0, 16.0, 38.0, 18.0  # pixels
DASHED, DOTTED = (6.0, 4.0), (1.5, 3.5)


def number(value: float) -> str:
    """A tick of an axis of values: at most four significant digits."""
    return "0" if value == 0 else f"{value:.4g}".replace("-", "\u2212")


def samples(value: float) -> str:
    """A tick of an axis of samples: 5k, 1.6M."""
    return format_count(round(value))


@dataclass
class Chart:
    """A chart, of which the axes fit what was added.

    Attributes:
        title: for readers who cannot see it.
        y, x: names of the axes with units.
        low, high: what the y axis reaches at least; None: as far as the data.
        x_tick: how a tick of the x axis is written.
        end: the least right end of the x axis.
    """

    title: str
    y: str
    x: str = "training samples"
    low: float | None = None
    high: float | None = None
    x_tick: Callable[[float], str] = samples
    end: float | None = None
    height: float = HEIGHT
    _draw: list[Callable[[_Frame], list[Mark]]] = field(default_factory=list)
    _key: list[tuple[str, str, tuple[float, ...], bool]] = field(default_factory=list)
    _xs: list[float] = field(default_factory=list)
    _ys: list[float] = field(default_factory=list)
    _ends: list[tuple[float, float]] = field(default_factory=list)  # first and last value of each curve
    _moments: int = 0

    @property
    def empty(self) -> bool:
        """Whether it has no data."""
        return not self._xs

    def line(
        self,
        curve: Curve,
        tone: str,
        label: str = "",
        *,
        dash: tuple[float, ...] = (),
        width: float = 1.8,
        opacity: float = 1.0,
        dots: bool = False,
    ) -> None:
        """A curve, with a name in the key."""
        curve = curve.thinned()
        self._take(curve.x, curve.y)
        self._ends.append((curve.y[0], curve.y[-1]))
        if label:
            self._key.append((label, tone, dash, False))

        def marks(frame: _Frame) -> list[Mark]:
            points = tuple(map(frame.at, curve.x, curve.y))
            found: list[Mark] = [Line(points, tone, width, dash, opacity)] if len(points) > 1 else []
            if dots or len(points) == 1:
                found += [Dot(point, tone, 3.2) for point in points]
            return found

        self._draw.append(marks)

    def band(self, low: Curve, high: Curve, tone: str, label: str) -> None:
        """The area between two curves over the same points."""
        low, high = low.thinned(), high.thinned()
        self._take(low.x, low.y)
        self._take(high.x, high.y)
        self._key.append((label, tone, (), True))

        def marks(frame: _Frame) -> list[Mark]:
            there, back = map(frame.at, low.x, low.y), map(frame.at, high.x, high.y)
            return [Area((*there, *reversed([*back])), tone, 0.22)]

        self._draw.append(marks)

    def bars(self, edges: Sequence[float], counts: Sequence[float], tone: str) -> None:
        """A histogram."""
        self._take([edges[0], edges[-1]], [0.0, max(counts)])

        def marks(frame: _Frame) -> list[Mark]:
            found: list[Mark] = []
            for left, right, count in zip(edges, edges[1:], counts, strict=False):
                (a, top), (b, ground) = frame.at(left, count), frame.at(right, 0.0)
                if count:
                    found.append(Area(((a + 0.5, ground), (a + 0.5, top), (b - 0.5, top), (b - 0.5, ground)), tone))
            return found

        self._draw.append(marks)

    def limit(self, value: float, label: str, tone: str = "muted", *, fits: bool = True) -> None:
        """A horizontal line, with its name at the end that is farther from the curves."""
        if fits:
            self._ys.append(value)

        def marks(frame: _Frame) -> list[Mark]:
            if not frame.low <= value <= frame.high:
                return []
            (left, y), right = frame.at(frame.start, value), frame.right
            at_left, at_right = (min((pair[k] - value for pair in self._ends), key=abs, default=0.0) for k in (0, 1))
            farther = abs(at_left) > abs(at_right)
            x, anchor = (left + 6, "start") if farther else (right - 6, "end")
            curve_is_above = (at_left if farther else at_right) > 0 and y + 18 < frame.bottom
            below = curve_is_above or y - 16 < frame.top
            words = Text((x, y + 14 if below else y - 5), label, tone, cast(Anchor, anchor))
            return [Line(((left, y), (right, y)), tone, 1.2, DASHED), words]

        self._draw.append(marks)

    def moment(self, value: float, label: str, tone: str = "green") -> None:
        """A vertical line with its name above it."""
        self._xs.append(value)
        self._moments += 1

        def marks(frame: _Frame) -> list[Mark]:
            x = frame.at(value, frame.low)[0]
            half = width_of(label) / 2
            anchor: Anchor = "end" if x + half > WIDTH else "start" if x - half < frame.left else "middle"
            words = Text((x, frame.top - 5), label, tone, anchor)
            return [Line(((x, frame.top), (x, frame.bottom)), tone, 1.4, DOTTED), words]

        self._draw.append(marks)

    def point(self, x: float, y: float, tone: str) -> None:
        """A dot."""
        self._take([x], [y])
        self._draw.append(lambda frame: [Dot(frame.at(x, y), tone)])

    def drawing(self) -> Drawing:
        """The chart with its axes and its key."""
        rows = _key_rows(self._key)
        top = 28.0 + ROW * len(rows) + (ROW - 4.0 if self._moments else 0.0)
        xs, ys = self._xs or [0.0, 1.0], self._ys or [0.0, 1.0]
        y_ticks = ticks(
            min([*ys, *([] if self.low is None else [self.low])]),
            max([*ys, *([] if self.high is None else [self.high])]),
            5,
        )
        start, end = min(xs), max([*xs, *([] if self.end is None else [self.end])])
        left = max(LEFT, 12.0 + max(width_of(number(tick)) for tick in y_ticks))
        end = end if end > start else start + 1.0
        frame = _Frame(top, start, end, y_ticks[0], y_ticks[-1], self.height, left)
        found = Drawing(WIDTH, self.height, self.title)
        found.marks.append(Text((0.0, 12.0), self.y, "ink"))
        for number_of_row, row in enumerate(rows):
            found.marks += _key_marks(row, 24.0 + ROW * number_of_row + 10.0)
        for tick in y_ticks:
            y = frame.at(frame.start, tick)[1]
            found.marks.append(Line(((left, y), (frame.right, y)), "axis" if tick == y_ticks[0] else "grid"))
            found.marks.append(Text((left - 8, y + 4), number(tick), anchor="end"))
        shown = [tick for tick in ticks(frame.start, frame.end, 5) if frame.start <= tick <= frame.end]
        for tick in shown:
            x = frame.at(tick, frame.low)[0]
            text = self.x_tick(tick)
            at_end = x + width_of(text) / 2 > WIDTH
            found.marks.append(Line(((x, frame.bottom), (x, frame.bottom + 4)), "axis"))
            found.marks.append(
                Text((WIDTH if at_end else x, frame.bottom + 17), text, anchor="end" if at_end else "middle")
            )
        found.marks.append(Text((frame.right, self.height - 3), self.x, "ink", "end"))
        for draw in self._draw:
            found.marks += draw(frame)
        return found

    def _take(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self._xs += [min(xs), max(xs)]
        self._ys += [min(ys), max(ys)]


@dataclass(frozen=True)
class _Frame:
    """The rectangle of the data: its pixels, and its values."""

    top: float
    start: float
    end: float
    low: float
    high: float
    height: float
    left: float
    right: float = WIDTH - RIGHT

    @property
    def bottom(self) -> float:
        return self.height - BOTTOM

    def at(self, x: float, y: float) -> Point:
        across = (x - self.start) / (self.end - self.start)
        up = (y - self.low) / (self.high - self.low)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers that enclose a range, about `most` of them."""
    if high <= low:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


Key = tuple[str, str, tuple[float, ...], bool]


def _key_rows(key: list[Key]) -> list[list[Key]]:
    """The entries of the key in rows that fit."""
    rows: list[list[Key]] = []
    used = WIDTH
    for entry in key:
        needed = 24.0 + width_of(entry[0]) + 20.0
        if used + needed > WIDTH:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += needed
    return rows


def _key_marks(row: list[Key], y: float) -> list[Mark]:
    marks: list[Mark] = []
    x = 0.0
    for label, tone, dash, filled in row:
        if filled:
            marks.append(Area(((x, y - 8), (x + 18, y - 8), (x + 18, y), (x, y)), tone, 0.35))
        else:
            marks.append(Line(((x, y - 4), (x + 18, y - 4)), tone, 2.0, dash))
        marks.append(Text((x + 24, y), label))
        x += 24.0 + width_of(label) + 20.0
    return marks
