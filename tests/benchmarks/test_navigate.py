"""The benchmark of navigate's step runs from end to end, and both steps compute on the same images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import generators_weights
from benchmarks import navigate as benchmark
from benchmarks import navigate_steps as steps
from benchmarks.navigate_authors import AuthorsGenerator
from benchmarks.navigate_parts import PARTS
from copgen import generators

CPU = torch.device("cpu")
PLAN = steps.Plan(CPU, 2, 1, [], narrow=24)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generators_weights.write("bigbigan", tmp_path_factory.mktemp("weights"), narrow=PLAN.narrow)


def test_the_authors_generator_paints_what_ours_does(weights: Path) -> None:
    G = generators.load("bigbigan", weights=weights)
    theirs = AuthorsGenerator(weights, CPU)
    z = G.sample_prior(range(2), 0)
    images = theirs(z)
    torch.testing.assert_close(images.detach(), G(z), rtol=1e-3, atol=1e-3)
    gradients = torch.autograd.grad(images.sum(), theirs.parameters, allow_unused=True)
    assert sum(gradient is None for gradient in gradients) == 0


def test_a_toy_run_reports_times_memory_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "peaks", lambda plan, weights: dict.fromkeys(plan.methods, 1 << 20))
    benchmark.main(["--toy", "--device", "cpu", "--out", str(tmp_path / "report.md")])
    text = (tmp_path / "report.md").read_text()
    assert "A toy run" in text
    for name in ("authors", "simultaneous", "alternating"):
        assert f"| {name} | " in text
    assert f"| step | {' | '.join(PARTS)} |" in text
    rows = [line.split("|")[2:-1] for line in text.splitlines() if line.startswith("| alternating |") and "%" in line]
    assert sum(float(share.strip(" %")) for share in rows[0]) == pytest.approx(100, abs=0.5)
    assert "| GPU, bf16, batch 176: samples a second | - | not measured |" in text


@pytest.mark.parametrize("name", steps.OURS)
def test_every_step_can_be_built(name: str, weights: Path) -> None:
    _, game = steps.ours(PLAN, weights, name)
    assert game.settings.update in name
    assert (game.settings.compile != "off") is ("compiled" in name)
    assert (game.settings.memory_format == "channels_last") is ("channels_last" in name)


def test_the_peak_of_an_update_is_measured(weights: Path) -> None:
    assert steps.peak(PLAN, weights, "simultaneous") > 10 * 2**20  # f alone has 45 MiB
