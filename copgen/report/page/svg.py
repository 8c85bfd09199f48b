"""Drawings as inline SVG; tones are classes, whose colours the page's style sheet has."""

from __future__ import annotations

from copgen.report.page.drawing import Area, Dot, Drawing, Line, Mark, Point, Text
from copgen.report.page.html import escaped


def svg(drawing: Drawing) -> str:
    """The element; it scales to the width of its container."""
    marks = "".join(map(_mark, drawing.marks))
    return (
        f'<svg viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" role="img" aria-label="{escaped(drawing.label)}">'
        f"{marks}</svg>"
    )


def _mark(mark: Mark) -> str:
    match mark:
        case Line():
            dash = f' stroke-dasharray="{" ".join(map(_n, mark.dash))}"' if mark.dash else ""
            return (
                f'<polyline class="s-{mark.tone}" fill="none" points="{_points(mark.points)}" '
                f'stroke-width="{_n(mark.width)}"{dash}{_opacity(mark.opacity)}/>'
            )
        case Area():
            return f'<polygon class="f-{mark.tone}" points="{_points(mark.points)}"{_opacity(mark.opacity)}/>'
        case Dot():
            x, y = mark.at
            return f'<circle class="f-{mark.tone} s-ground" cx="{_n(x)}" cy="{_n(y)}" r="{_n(mark.radius)}"/>'
        case Text():
            x, y = mark.at
            anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
            bold = ' font-weight="600"' if mark.bold else ""
            return f'<text class="f-{mark.tone}" x="{_n(x)}" y="{_n(y)}"{anchor}{bold}>{escaped(mark.text)}</text>'


def _points(points: tuple[Point, ...]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _opacity(value: float) -> str:
    return f' opacity="{_n(value)}"' if value < 1.0 else ""


def _n(value: float) -> str:
    """A number with at most two digits after the point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
