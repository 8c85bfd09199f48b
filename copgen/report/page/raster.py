"""Drawings as pictures, light, for papers and slides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from copgen.report.page.drawing import SIZE, Area, Dot, Drawing, Line, Point, Text
from copgen.report.page.palette import TONES

SCALE = 2  # pixels of the picture per pixel of the drawing
FINER = 2  # of the canvas, which is then made smaller, against jagged edges
MARGIN = 8  # around the drawing, in its pixels
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def picture(drawing: Drawing) -> Image.Image:
    """An RGB picture of the drawing, with a margin."""
    k = SCALE * FINER
    size = (round(drawing.width * k), round(drawing.height * k))
    canvas = Image.new("RGB", size, _colour("ground"))
    for mark in drawing.marks:
        opacity = mark.opacity if isinstance(mark, Line | Area) else 1.0
        # A translucent mark is blended as a whole, so that it does not darken where it crosses itself.
        target = canvas.copy() if opacity < 1.0 else canvas
        pen = ImageDraw.Draw(target)
        match mark:
            case Line():
                width = max(1, round(mark.width * k))
                for part in _dashes(mark.points, mark.dash):
                    pen.line([(x * k, y * k) for x, y in part], fill=_colour(mark.tone), width=width, joint="curve")
            case Area():
                pen.polygon([(x * k, y * k) for x, y in mark.points], fill=_colour(mark.tone))
            case Dot():
                for radius, tone in ((mark.radius + 1, "ground"), (mark.radius, mark.tone)):
                    x, y, r = mark.at[0] * k, mark.at[1] * k, radius * k
                    pen.ellipse((x - r, y - r, x + r, y + r), fill=_colour(tone))
            case Text():
                font = ImageFont.load_default(SIZE * k)
                x, y = mark.at
                pen.text(
                    (x * k, y * k),
                    _drawable(mark.text),
                    fill=_colour(mark.tone),
                    font=font,
                    anchor=ANCHORS[mark.anchor],
                )
        if target is not canvas:
            canvas = Image.blend(canvas, target, opacity)
    smaller = canvas.resize((size[0] // FINER, size[1] // FINER), Image.Resampling.LANCZOS)
    return ImageOps.expand(smaller, border=MARGIN * SCALE, fill=_colour("ground"))


def _dashes(points: tuple[Point, ...], dash: tuple[float, ...]) -> Iterator[list[Point]]:
    """The visible parts of a polyline."""
    if not dash:
        yield [*points]
        return
    lengths = itertools.cycle(dash)
    left, visible, part = next(lengths), True, [points[0]]
    for start, end in itertools.pairwise(points):
        length, done = math.dist(start, end), 0.0
        while length - done > left:
            done += left
            at = tuple(a + (b - a) * done / length for a, b in zip(start, end, strict=True))
            if visible:
                yield [*part, (at[0], at[1])]
            part, visible, left = [(at[0], at[1])], not visible, next(lengths)
        left -= length - done
        part.append(end)
    if visible and len(part) > 1:
        yield part


def _colour(tone: str) -> tuple[int, ...]:
    return ImageColor.getrgb(TONES[tone][0])


def _drawable(text: str) -> str:
    """The text with what the built-in font lacks written out."""
    return text.replace("\u03b4", "delta").replace("\u2212", "-").replace("\u2032", "'")
