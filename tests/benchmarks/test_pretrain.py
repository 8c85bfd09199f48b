"""The benchmarks of pretraining run, and say of a toy run that it is one."""

from __future__ import annotations

from benchmarks import pretrain_step


def test_the_step_is_compared_with_the_authors() -> None:
    text = pretrain_step.main(["--toy", "--device", "cpu", "--threads", "1"])
    assert "toy run" in text
    rows = [line for line in text.splitlines() if line.startswith(("| copgen", "| authors"))]
    assert len(rows) == 3
    assert "not measured" in text
