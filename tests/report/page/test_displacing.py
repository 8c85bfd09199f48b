"""The split of the displacement, with a share of noise where the navigator has noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from copgen.report.page.displacing import split, split_html
from copgen.report.page.drawing import Text
from copgen.report.page.record import read_record
from tests.report.page import made


@pytest.mark.parametrize(("noise", "shown"), [({}, False), ({"noise": 0.4}, True), ({"noise": "x"}, False)])
def test_noise_is_a_part_of_its_own(tmp_path: Path, noise: dict[str, Any], shown: bool) -> None:
    run = made.navigate_run(tmp_path / "run")
    file = run / "displacement.json"
    tree = json.loads(file.read_text())
    tree["split"] = {"constant": 0.3, "linear": 0.2, "nonlinear": 0.1, **noise}
    file.write_text(json.dumps(tree))
    record = read_record(run)
    drawing = split(record)
    assert drawing is not None
    texts = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    assert ("noise" in texts) == ("40 %" in texts) == shown
    assert ("T_z(z, e)" in split_html(record)) == shown
