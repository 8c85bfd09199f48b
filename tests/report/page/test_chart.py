"""Charts: their ticks, and that all that is drawn lies within them, in SVG and in a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from copgen.report.page.chart import WIDTH, Chart, ticks
from copgen.report.page.drawing import Dot, Drawing, Line, Text
from copgen.report.page.log import Curve
from copgen.report.page.raster import MARGIN, SCALE, picture
from copgen.report.page.svg import svg


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 0.05), (4.1, 5.6), (-0.03, 0.04), (0, 1.6e6), (3, 3), (0, 0), (1e-9, 2e-9), (-5, -5)]
)
def test_ticks_are_round_and_enclose_the_range(low: float, high: float) -> None:
    found = ticks(low, high, 5)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 8
    steps = np.diff(found)
    assert steps == pytest.approx(steps[0])
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert any(mantissa == pytest.approx(one) for one in (1, 2, 2.5, 5))


def chart() -> Chart:
    made = Chart("title <b>", "y & z")
    curve = Curve([0.0, 500.0, 1000.0], [1.0, 2.0, 1.5])
    made.band(curve, Curve(curve.x, [2.0, 3.0, 2.5]), "blue", "band")
    made.line(curve, "blue", "a name", dash=(4.0, 2.0))
    made.line(Curve([700.0], [1.2]), "orange", "one point")
    made.limit(2.8, "limit <i>")
    made.moment(990.0, "kept 990")
    return made


def test_all_marks_are_within_the_drawing() -> None:
    drawing = chart().drawing()
    assert drawing.width == WIDTH
    for mark in drawing.marks:
        points = (mark.at,) if isinstance(mark, Dot | Text) else mark.points
        for x, y in points:
            assert 0 <= x <= drawing.width
            assert 0 <= y <= drawing.height


def test_the_svg_is_xml_without_colours_of_its_own() -> None:
    text = svg(chart().drawing())
    root = ET.fromstring(text)
    assert root.get("aria-label") == "title <b>"
    assert "limit <i>" in [element.text for element in root.iter("text")]
    assert "#" not in text
    assert "nan" not in text


def test_the_picture_has_the_colours_of_the_light_page() -> None:
    drawing = chart().drawing()
    image = picture(drawing)
    assert image.width == (WIDTH + 2 * MARGIN) * SCALE
    assert image.height == (drawing.height + 2 * MARGIN) * SCALE
    border = np.concatenate([np.asarray(image)[:, : MARGIN * SCALE], np.asarray(image)[:, -MARGIN * SCALE :]], axis=1)
    assert len(np.unique(border.reshape(-1, 3), axis=0)) == 1
    pixels = np.asarray(image).reshape(-1, 3)
    blue = np.abs(pixels - np.array([0x00, 0x72, 0xB2])).sum(1) < 12
    assert blue.sum() > 100


def test_dashes_leave_gaps() -> None:
    drawing = Drawing(100, 20, "", [Line(((0, 10), (100, 10)), "ink", 2.0, (10.0, 10.0))])
    row = np.asarray(picture(drawing).convert("L"))[(MARGIN + 10) * SCALE, MARGIN * SCALE :]
    dark = row < 128
    assert dark[: 9 * SCALE].all()
    assert not dark[11 * SCALE : 19 * SCALE].any()
    assert dark[21 * SCALE : 29 * SCALE].all()


def test_an_empty_chart_says_so() -> None:
    assert Chart("", "").empty
    assert not chart().empty
