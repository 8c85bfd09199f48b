"""docs/evaluation.md is followed to the letter, on small data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.stages.eval.linear import SMALL
from copgen.stages.eval.settings.knn import EvalKnnSettings
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.sgd import AUTHORS_RATE, BATCH, GREY_BATCH, GRID
from tests.cli.command import copgen
from tests.cli.conftest import QUICK_PROBES
from tests.stages.eval import drawn, voc

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
COMMANDS = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)
# Settings of each evaluation that make it quick, and fit the small data.
QUICK = {
    "linear": QUICK_PROBES,
    "few-shot": "c_grid = [0.01]\n",
    "knn": "",
    "alignment": "loss_batch = 8\n",
    "finetune": "epochs = 1\nlr_grid = [0.1]\nvalidation_images = 10\nc_grid = [0.01]\n",
    "transfer": "c_grid = [0.1]\n",
}


def test_the_page_runs(here: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_DATA", "datasets")
    torch.manual_seed(0)
    shapes = {"pretrain": (1, 8, "mnist"), "photos": (3, 16, "simclr"), "mnist": (1, 28, "mnist")}
    for name, (channels, size, views) in shapes.items():
        config = EncoderConfig(arch="digits", in_channels=channels, image_size=size, views=views)
        save_encoder(Path("runs", name), build("digits", channels), config, {"stage": "a test"})
    drawn.photos(Path("photos"))
    voc.devkit(Path("VOCdevkit"), trainval=18, test=8)
    drawn.mnist(Path("datasets/mnist"))
    sampled = copgen("sample", "--weights", weights, "--n", 64, "--transform", "gaussian", "--out", "pairs")
    assert sampled.code == 0, sampled.err
    for kind, quick in QUICK.items():
        Path(f"{kind}.toml").write_text(quick)
    assert len(COMMANDS) == 18
    for command in COMMANDS:
        words = shlex.split(command.replace("--batch 128", "--batch 8"))
        outcome = copgen(*words, *(("--config", f"{words[1]}.toml") if words[0] == "eval" else ()))
        assert outcome.code == 0, outcome.err
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})


def test_the_numbers_of_the_page() -> None:
    linear = EvalLinearSettings()
    assert f"up to {SMALL:,} training images" in PAGE
    assert (linear.epochs, len(linear.c_grid), len(GRID), AUTHORS_RATE) == (60, 7, 8, 2.0)
    assert f"`--probe-batch` ({BATCH}; {GREY_BATCH} for\ngrey images)" in PAGE
    assert EvalKnnSettings().temperature == 0.07
