"""The benchmark of the start on many pairs works."""

from __future__ import annotations

from pathlib import Path

from benchmarks import pairs_start


def test_the_toy_run_measures_everything(tmp_path: Path) -> None:
    text = pairs_start.main(["--toy", "--out", str(tmp_path / "report.md")])
    assert (tmp_path / "report.md").read_text() == text
    for name in ("imports", "folder opened", "first batch of 16", "every shard hashed", "`verify`"):
        assert f"| {name}" in text
    assert "not measured" in text  # a toy reaches no target
