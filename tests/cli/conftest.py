"""A small generator of the digits family, and one walk through the four commands with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen.generators.residual_flow.config import FlowConfig
from copgen.generators.residual_flow.generator import save_flow
from copgen.generators.residual_flow.model import ResidualFlow
from copgen.latents.prior import Prior
from copgen.runtime.seeds import seeded
from tests.cli.command import Outcome, copgen

QUICK_PROBES = "label_draws = 2\nlabels_per_class = [1]\nc_grid = [0.01]\n"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns, and nothing of the caller's that changes what is printed."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("COPGEN_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained flow with two blocks: quick, and a proper weights file."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    config = FlowConfig(blocks=(0,), linear_blocks=2, linear_width=16, coeff=0.9, logit_alpha=0.05)
    with seeded(0, "tests/cli"), torch.no_grad():
        flow = ResidualFlow(config)
        flow.power_iterate(30)
    save_flow(path, flow, prior=Prior(), made_by={"command": "a test"})
    return path


@pytest.fixture(scope="session")
def walk(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    """The four commands in order, each finding what the one before wrote: (the folder, how each ended)."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "probes.toml").write_text(QUICK_PROBES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        navigated = copgen("navigate", "--generator", "digits", "--weights", weights, "--steps", 256, "--batch", 64)
        sampled = copgen("sample", "--out", "pairs/", "--n", "0.2k")
        pretrained = copgen("pretrain", "--pairs", "pairs/", "--updates", 3, "--batch", 64)
        probed = copgen("eval", "linear", "--ckpt", "runs/pretrain", "--config", "probes.toml", "--json")
    return folder, {"navigate": navigated, "sample": sampled, "pretrain": pretrained, "eval linear": probed}
