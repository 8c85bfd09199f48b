"""Flat drawings of lines, areas and text, that become SVG (`svg`) or a picture (`raster`).

Coordinates are pixels from the top left. A tone is a name of `palette.TONES`, so that a page can be dark or light.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
SIZE = 12.0  # of text, pixels


@dataclass(frozen=True)
class Line:
    """A polyline."""

    points: tuple[Point, ...]
    tone: str
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: tuple[Point, ...]
    tone: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A filled circle with a rim in the colour of the background."""

    at: Point
    tone: str
    radius: float = 4.0


@dataclass(frozen=True)
class Text:
    """One line of text; `at` is on its baseline."""

    at: Point
    text: str
    tone: str = "muted"
    anchor: Anchor = "start"
    bold: bool = False


Mark = Line | Area | Dot | Text


@dataclass
class Drawing:
    """Marks in the order in which they are drawn.

    Attributes:
        width, height: pixels.
        label: what it shows, for readers who cannot see it.
    """

    width: float
    height: float
    label: str
    marks: list[Mark] = field(default_factory=list)


def width_of(text: str) -> float:
    """About the width of a text, in pixels; a little too much rather than too little."""
    return sum(3.6 if one in "iljt.,:;|' ()[]" else 10.2 if one in "mwMW%\u2212\u00b1" else 7.0 for one in text)
