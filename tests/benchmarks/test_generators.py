"""The benchmark of the generators: what it compares does the same, and it writes its report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import generators as benchmark
from benchmarks import generators_weights as weights


@pytest.mark.parametrize("name", weights.NAMES)
def test_the_reference_gives_the_same_images(name: str, tmp_path: Path) -> None:
    path = weights.write(name, tmp_path, narrow=16)
    G = weights.load(name, path)
    z, condition = weights.inputs(G, 2)
    images = G(z, condition)
    found = weights.reference_call(name, path, weights.load(name, path), 2)()
    assert isinstance(found, torch.Tensor)
    assert float(images.std()) > 0.01
    assert torch.allclose(found, images, atol=2e-4)


def test_a_report_says_what_was_measured_and_what_was_not(tmp_path: Path) -> None:
    out = tmp_path / "report.md"
    command = ["--generator", "residual-flow-mnist", "--toy", "--batch", "1", "--batch", "2", "--device", "cpu"]
    limits = ["--seconds", "0", "--reference-batch", "1", "--interleaved-batch", "1"]
    benchmark.main([*command, *limits, "--out", str(out)])
    lines = out.read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| 1 |", "| 2 |"))]
    assert [row.split(" | ")[1] for row in rows] == ["float32", benchmark.REFERENCE, "float32"]
    assert "one round" in rows[2]
    assert any(line.startswith("Measured on:") for line in lines)


def test_sections_are_added_to_an_existing_report(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# What was there\n")
    command = ["--generator", "residual-flow-mnist", "--toy", "--batch", "1", "--seconds", "0", "--device", "cpu"]
    text = benchmark.main([*command, "--out", str(tmp_path / "report.md")])
    assert text.startswith("# What was there\n\n## residual-flow-mnist\n")
    assert "Measured on" not in text
