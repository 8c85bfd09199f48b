"""A strip chart: a dot for every seed, one row for each kind of run, one panel for each measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from copgen.report.page.drawing import Dot, Drawing, Line, Text, width_of
from experiments.paired import Figures, measured

PANEL, ROW, GAP, TOP, BOTTOM = 250.0, 30.0, 34.0, 34.0, 34.0  # pixels
Values = Mapping[str, Sequence[float]]  # of each row, in percent
SHOWN = {
    "5 labels per class, %": "5 labels",
    "all labels, %": "Top-1",
    "positives with their label, %": "label kept",
}


def strips_of(rows: Mapping[str, Figures], label: str) -> Drawing:
    """Every seed of every row: the accuracy with five labels, that with all, and the labels kept."""
    panels = {
        title: {name: [100 * measured(one)[measure] for one in figures] for name, figures in rows.items()}
        for title, measure in SHOWN.items()
    }
    return strips(panels, label=label)


def strips(panels: Mapping[str, Values], *, label: str) -> Drawing:
    """Panels with the same rows side by side; the line of a row is its mean, a tick on either side the deviation.

    Args:
        panels: by title, the values of every row.
        label: what it shows, for readers who cannot see it.
    """
    rows = list(next(iter(panels.values())))
    left = 12.0 + max(map(width_of, rows))
    width = left + len(panels) * (PANEL + GAP)
    drawing = Drawing(width, TOP + ROW * len(rows) + BOTTOM, label)
    for k, row in enumerate(rows):
        drawing.marks.append(Text((left - 12.0, _middle(k) + 4.0), row, tone="ink", anchor="end"))
    for number, (title, values) in enumerate(panels.items()):
        _panel(drawing, left + number * (PANEL + GAP), title, values)
    return drawing


def _panel(drawing: Drawing, left: float, title: str, values: Values) -> None:
    everything = [value for row in values.values() for value in row]
    low, high = min(everything), max(everything)
    room = 0.05 * (high - low) or 1.0
    low, high = low - room, high + room
    bottom = TOP + ROW * len(values)

    def x(value: float) -> float:
        return left + PANEL * (value - low) / (high - low)

    drawing.marks.append(Text((left, TOP - 14.0), title, tone="ink", bold=True))
    step = next(step for step in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if (high - low) / step <= 6)
    for k in range(int(low // step) + 1, int(high // step) + 1):
        at = x(k * step)
        drawing.marks.append(Line(((at, TOP), (at, bottom)), tone="grid"))
        drawing.marks.append(Text((at, bottom + 18.0), f"{k * step:g}", anchor="middle"))
    for k, row in enumerate(values.values()):
        y, centre, spread = _middle(k), mean(row), stdev(row)
        drawing.marks.append(Line(((x(centre - spread), y), (x(centre + spread), y)), tone="orange", width=2.0))
        drawing.marks.append(Line(((x(centre), y - 9.0), (x(centre), y + 9.0)), tone="orange", width=3.0))
        drawing.marks += [Dot((x(value), y), tone="blue", radius=3.5) for value in row]


def _middle(row: int) -> float:
    return TOP + ROW * (row + 0.5)
