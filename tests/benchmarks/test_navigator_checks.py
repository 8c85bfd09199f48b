"""The benchmark of the checks of stop rules works."""

from __future__ import annotations

from pathlib import Path

from benchmarks import navigator_checks


def test_the_toy_run_measures_everything(tmp_path: Path) -> None:
    text = navigator_checks.main(["--toy", "--out", str(tmp_path / "report.md")])
    assert (tmp_path / "report.md").read_text() == text
    for name in ("perceptual", "probe"):
        assert text.count(f"| a check of `{name}` |") == 1
    assert text.count("not measured") == 2  # a toy reaches no target
