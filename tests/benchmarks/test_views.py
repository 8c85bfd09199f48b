"""The benchmark of T_x works in small; what it measures is not asserted."""

from __future__ import annotations

from pathlib import Path

from benchmarks import views
from benchmarks.timing import Timing


def test_a_toy_run_has_our_row_and_claims_nothing(tmp_path: Path) -> None:
    out = tmp_path / "results" / "toy.md"
    text = views.main(["--device", "cpu", "--toy", "--out", str(out)])
    assert out.read_text() == text
    for name in (views.OURS, views.KORNIA, views.LOOP):
        assert f"\n| {name} |" in text
    assert text.count("not measured |") == 3


def test_targets_are_judged_by_ratios_to_our_eager_row() -> None:
    times = {views.OURS: Timing(100, 90, 110, 9), views.KORNIA: Timing(140, 1, 1, 9), views.LOOP: Timing(500, 1, 1, 9)}
    verdicts = "\n".join(views.targets(times, cuda=False))
    assert ">= 1.5x kornia | 1.40x | missed |" in verdicts
    assert "image by image | 5.00x | met |" in verdicts
    assert "compiled kornia | - | not measured |" in verdicts
