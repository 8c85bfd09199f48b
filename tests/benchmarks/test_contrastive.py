"""The contrastive benchmark works in small; what it measures is not asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import contrastive, report, timing
from benchmarks import contrastive_peers as peers
from benchmarks import contrastive_targets as targets
from benchmarks.contrastive_targets import Number, Shape


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    out: Path = tmp_path_factory.mktemp("benchmark") / "results" / "toy.md"
    text = contrastive.main(["--device", "cpu", "--toy", "--out", str(out)])
    assert out.read_text() == text
    return text


def test_our_rows_have_times_and_memory(toy: str) -> None:
    table = toy.partition(f"## {contrastive.TOY_SHAPE}")[2]
    for name in {*peers.OURS.values()}:
        line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert float(cells[2]) > 0
        assert cells[4] == "1.00"


def test_every_cpu_method_has_a_row_even_if_it_is_not_installed(toy: str) -> None:
    for method in peers.methods_on("cpu", compiled=False):
        assert toy.count(f"| {method.name} |") == 2


def test_all_targets_are_there_and_those_of_the_gpu_are_not_measured(toy: str) -> None:
    verdicts = toy.partition("## Targets")[2]
    of_the_gpu = [line for line in verdicts.splitlines() if line.startswith("| GPU")]
    assert len(of_the_gpu) == len(targets.CUDA_MS) + 1
    assert all(line.endswith("| - | not measured |") for line in of_the_gpu)
    # The toy has other shapes, so it says nothing about the CPU's targets either.
    assert "| met |" not in verdicts
    assert "| missed |" not in verdicts


def test_targets_are_judged_by_the_fastest_of_several_peers() -> None:
    shape = targets.CPU_HEADLINE
    numbers = {(shape, peers.OURS["first"]): Number(ms=100.0, memory=8 * report.MIB)}
    numbers |= {(shape, name): Number(ms=ms) for name, ms in zip(peers.COMPILED, (150.0, 300.0), strict=True)}
    numbers[(shape, peers.CROSS_ENTROPY)] = Number(ms=400.0)
    verdicts = "\n".join(targets.lines(numbers))
    assert "the best torch.compile | 1.50x | missed |" in verdicts
    assert "torch cross_entropy | 4.00x | met |" in verdicts
    assert "extra memory <= 16 MiB | - | not measured |" in verdicts


def test_the_gpu_targets_prefer_the_replayed_graph() -> None:
    shape = Shape(4096, 128, "float16")
    verdicts = targets.lines({(shape, peers.OURS["first"]): Number(ms=0.2, graph_ms=0.08)})
    assert any("80 us graph-replayed | met |" in line for line in verdicts)


@pytest.mark.parametrize("chunk_rows", [5, 32])
def test_the_chunked_peer_computes_the_same_loss(chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CHUNK_ROWS", chunk_rows)
    h, h_pos = peers.embeddings(32, 16, torch.float32, torch.device("cpu"))
    got = peers.value_and_gradients(peers.chunked, h, h_pos, 0.1)
    expected = peers.value_and_gradients(peers.cross_entropy, h, h_pos, 0.1)
    for a, b in zip(got, expected, strict=True):
        assert (a - b).norm() <= 5e-3 * b.norm()


def test_percentiles() -> None:
    assert timing.Timing.of([3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]) == timing.Timing(
        6.0, 2.0, 10.0, 11
    )


def test_peak_memory_is_what_a_call_adds() -> None:
    peak = timing.peak_memory_cpu(lambda: torch.ones(8 * report.MIB, dtype=torch.float32))
    if peak is None:
        pytest.skip("no /proc here")
    assert abs(peak / report.MIB - 32) < 4
