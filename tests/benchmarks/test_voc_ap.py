"""The benchmark of average precision works."""

from __future__ import annotations

from pathlib import Path

from benchmarks import voc_ap


def test_the_toy_run_measures_everything(tmp_path: Path) -> None:
    text = voc_ap.main(["--toy", "--out", str(tmp_path / "report.md")])
    assert (tmp_path / "report.md").read_text() == text
    for name in ("VOC07, 11 points", "COCO, 101 points"):
        assert f"| {name}" in text
    assert "not measured" in text  # a toy reaches no target
