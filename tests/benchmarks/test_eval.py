"""The benchmark of the evaluations works in small; what it measures is not asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import eval as benchmark
from benchmarks import eval_plain as plain
from benchmarks import timing


def test_a_toy_run_measures_everything_and_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "in_child", lambda *given: 2**20)
    text = benchmark.main(["--toy", "--out", str(tmp_path / "report.md")])
    assert (tmp_path / "report.md").read_text() == text
    for name in (benchmark.OURS, benchmark.PLAIN, benchmark.LOOP, benchmark.COSINE, benchmark.UNIT):
        assert f"\n| {name} |" in text
    assert text.count("not measured |") == 5
    assert text.count("100.0 % of the classes agree") == 2


def test_the_loop_gives_nearly_the_same_features(tmp_path: Path) -> None:
    sizes, folder = benchmark.TOY, plain.photos(tmp_path, 6, 40)
    calls = benchmark.extraction(sizes, folder, benchmark.encoder_of(sizes))
    ours, theirs = calls[benchmark.OURS](), calls[benchmark.LOOP]()
    assert isinstance(ours, torch.Tensor)
    assert isinstance(theirs, torch.Tensor)
    assert float((ours - theirs).norm() / ours.norm()) < 0.05  # Pillow rounds after resizing
