"""docs/generator-scores.md is followed to the letter, on small data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import torch

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.evaluation.generation.class_score import SPLITS
from copgen.evaluation.generation.manifolds import NEAREST, NEAREST_OF_DENSITY
from copgen.evaluation.spaces import dinov2, efficientnet, inception
from copgen.evaluation.spaces.pixels import SIDE
from copgen.evaluation.spaces.registry import SPACES
from copgen.stages.eval.settings.generator import PUBLISHED, EvalGeneratorSettings
from tests.cli.command import copgen
from tests.stages.eval import drawn

PAGE = (Path(__file__).parents[2] / "docs" / "generator-scores.md").read_text("utf-8")
COMMANDS = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)
FEW = "n = 20\nreal_n = 20\nbatch = 20\n"


def test_the_page_runs(here: Path, weights: Path) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(Path("runs/pretrain"), build("digits", 1), config, {"stage": "a test"})
    drawn.photos(Path("photos"))
    sampled = ("sample", "-g", "digits", "--weights", weights, "--transform", "none", "--n", 20, "--out", "pairs")
    assert copgen(*sampled).code == 0
    Path("few.toml").write_text(FEW)
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        words = shlex.split(command.replace("-n 1k", "-n 20").replace("-n 500", "-n 20"))
        of_generator = () if "--pairs" in words else ("--weights", weights)
        outcome = copgen(*words, *of_generator, "--config", "few.toml")
        assert outcome.code == 0, outcome.err
        assert "coverage" in outcome.out
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})


def test_the_numbers_and_names_of_the_page() -> None:
    for name in SPACES:
        assert f"`{name}`" in PAGE
    assert inception.WEIGHTS.file in PAGE
    assert dinov2.WEIGHTS["dinov2"].file in PAGE
    parameters = sum(one.numel() for one in efficientnet.EfficientNetLite0().parameters())
    assert f"{parameters / 1e6:.1f}M parameters" in PAGE
    assert f"{SIDE} x {SIDE} pixels" in PAGE
    assert f"{PUBLISHED:,} generated" in PAGE
    assert f"at most {EvalGeneratorSettings(generator='digits').nearest_of:,} images" in PAGE
    assert (NEAREST, NEAREST_OF_DENSITY, SPLITS) == (3, 5, 10)
