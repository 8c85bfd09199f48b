"""The navigator's benchmark works, its peers compute the same, and it judges honestly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import navigator
from benchmarks import navigator_methods as m

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def test_the_toy_run_measures_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(navigator, "rates", lambda device: (1e10, 1e10))
    text = navigator.main(["--device", "cpu", "--toy", "--out", str(tmp_path / "report.md")])
    assert (tmp_path / "report.md").read_text() == text
    for name in (m.OURS, m.EAGER):
        assert text.count(f"| {name} |") == 2 * 2 + 2
    assert "not measured" in text  # a toy reaches no target


def test_the_methods_compute_the_same() -> None:
    tensors = m.inputs(m.Shape(40, 8), CPU, grad=True)
    for found, expected in zip(m.ours(*tensors), m.eager(*tensors), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, check_dtype=False)


def test_the_draws_have_the_distribution_that_they_say() -> None:
    truncated = m.resampled(500, 20, CPU)
    assert float(truncated.abs().max()) <= 2.0
    by_index = m.by_index_in_numpy(500, 20)
    assert np.array_equal(by_index[:9], m.by_index_in_numpy(9, 20))
    assert by_index.std() == pytest.approx(1.0, abs=0.05)


def test_what_was_not_measured_is_not_met() -> None:
    found = navigator.Found()
    assert all(line.endswith("| not measured |") for line in navigator.targets(found, CPU)[2:-1])
    found.ms = {(navigator.HEADLINE, navigator.WAYS[0], name): ms for name, ms in ((m.OURS, 1.0), (m.EAGER, 1.9))}
    assert "| 1.90x | missed |" in navigator.targets(found, CPU)[2]
