"""docs/detection.md is followed to the letter, on shapes; only the lengths and sizes are shorter."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.evaluation.detection.config import NUMBERS, RATIOS, SIZES
from copgen.stages.eval.settings.detect import SCHEDULES, EvalDetectSettings
from tests.cli.command import copgen
from tests.data import shapes

PAGE = (Path(__file__).parents[2] / "docs" / "detection.md").read_text("utf-8")
COMMANDS = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)
SHORT = {"--updates": 1, "--batch": 1, "--sides": 24, "--test-side": 24, "--max-side": 32, "--anchors": 8}
GIVEN = "(classes|convert_channels|updates|batch|sides|test_side|max_side|anchors)"
AS_VOC = {"circle": "cat", "square": "dog", "triangle": "bird"}


def make() -> None:
    """Encoders, a year of shapes, and VOC with its own classes."""
    for name in ("pretrain", "small"):
        config = EncoderConfig(arch="digits", in_channels=3, image_size=48, views="simclr")
        save_encoder(Path("runs", name), build("digits", 3), config, {"stage": "a test"})
    shapes.year(Path("shapes"), trainval=2, test=1, side=48)
    for path in shapes.devkit(Path("VOCdevkit"), trainval=2, test=1).rglob("*.xml"):
        text = path.read_text()
        for drawn, name in AS_VOC.items():
            text = text.replace(drawn, name)
        path.write_text(text)
    tiny = re.sub(f"^{GIVEN} .*\n", "", shapes.TINY, flags=re.MULTILINE)
    Path("tiny.toml").write_text(tiny)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(command: str, here: Path) -> None:
    make()
    words = shlex.split(command)
    short = [word for pair in SHORT.items() for word in pair]
    rest = ["--batch", 8, "--dry-run"] if "--nproc" in words else ["--out", "out"]
    outcome = copgen(*words, "--config", "tiny.toml", *short, *rest)
    assert outcome.code == 0, outcome.err


def test_the_python_of_the_page_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})


def test_the_numbers_of_the_page() -> None:
    assert len(COMMANDS) == 4
    for name in SCHEDULES:
        length = EvalDetectSettings.model_validate({"schedule": name}).length
        column = f"| {length.updates:,} |"
        assert column in PAGE
        assert f"{length.max_side:,} pixels" in PAGE
        assert f"| {length.lr:g} |" in PAGE
    settings = EvalDetectSettings()
    assert (NUMBERS["c4"].before_nms, NUMBERS["fpn"].before_nms) == ((12_000, 6_000), (2_000, 1_000))
    assert f"{SIZES[0]:.0f} to {SIZES[-1]:.0f} pixels, three ratios" in PAGE
    assert len(RATIOS) == 3
    assert f"means over {settings.statistics} batches" in PAGE
