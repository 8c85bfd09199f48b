"""The benchmark of pretraining's input works in small; what it measures is not asserted."""

from __future__ import annotations

from pathlib import Path

from benchmarks import pretrain_input
from benchmarks.pretrain_input import LOADERS, PLAIN, Row, Sample


def test_a_toy_run_has_all_rows_and_claims_nothing(tmp_path: Path) -> None:
    out = tmp_path / "results" / "toy.md"
    text = pretrain_input.main(["--toy", "--out", str(out)])
    assert out.read_text() == text
    for name in (PLAIN, *LOADERS):
        assert f"\n| {name} |" in text
    assert text.count("not measured |") == 2


def test_parts_are_differences_and_ratios_judge_the_better_loader() -> None:
    times = {PLAIN: (100.0, 8.0), "torch": (150.0, 3.0), "dali": (250.0, 5.0)}
    found = {
        f"{method}/{part}": [Sample(rate, share * cpu)] * 3
        for method, (rate, cpu) in times.items()
        for part, share in (("decode", 0.25), ("crop", 0.5), ("colour", 1.0))
    }
    rows = {method: Row.of(method, found) for method in (PLAIN, *LOADERS)}
    torchs = rows["torch"]
    assert torchs is not None
    assert torchs.parts == (0.75, 0.75, 1.5)
    assert rows["torchvision"] is None
    verdicts = "\n".join(" ".join(row) for row in pretrain_input.verdicts("png", rows))
    assert "views/s 2.50x met" in verdicts
    assert "CPU time 2.67x met" in verdicts
    assert pretrain_input.cells("torch", rows, {})[3] == "1.50x"
    assert pretrain_input.cells("torchvision", rows, {"torchvision/colour": "no"})[1] == "no"
