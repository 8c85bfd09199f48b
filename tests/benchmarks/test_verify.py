"""The benchmark of the verification works, and its folder of many shards is one that verifies."""

from __future__ import annotations

from pathlib import Path

from benchmarks import verify
from copgen import pairs


def test_the_toy_run_measures_everything(tmp_path: Path) -> None:
    text = verify.main(["--toy", "--out", str(tmp_path / "report.md")])
    assert (tmp_path / "report.md").read_text() == text
    for name in ("verify, quick", "verify, full", "verify, decode", "Pillow alone"):
        assert f"| {name}" in text
    assert "not measured" in text  # a toy reaches no target


def test_a_missing_shard_among_many_is_found(tmp_path: Path) -> None:
    verify.many_shards(tmp_path, 30)
    assert pairs.verify(tmp_path, "quick") == []
    (tmp_path / "shards/shard-000017.tar").unlink()
    assert [problem.shard for problem in pairs.verify(tmp_path, "quick")] == [17]
