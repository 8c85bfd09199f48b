"""docs/pair-health.md is followed to the letter, on small pairs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.stages.eval.settings.pairs import EvalPairsSettings, PairsThresholds
from tests.cli.command import copgen
from tests.pairs import folders

PAGE = (Path(__file__).parents[2] / "docs" / "pair-health.md").read_text("utf-8")
COMMANDS = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def there(here: Path) -> Path:
    """Pairs of another generator than that of the digits, and an untrained encoder."""
    generator = {"name": "another", "sha256": "a" * 64}
    folders.write(Path("pairs"), folders.plan(pairs=40, image_shape=(1, 8, 8), generator=generator))
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(Path("runs/pretrain"), build("digits", 1), config, {})
    return here


def test_every_command_runs(there: Path) -> None:
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        outcome = copgen(*shlex.split(command))
        assert outcome.code == 0, outcome.err
    assert {path.name for path in Path("pairs-health").iterdir()} == {"results.json", "pairs.png"}
    assert json.loads(Path("health/results.json").read_text())["pairs"]["measured"] == 40


def test_the_python_and_the_settings_run(there: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})
    (table,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    Path("mine.toml").write_text(table)
    outcome = copgen("eval", "pairs", "pairs", "--config", "mine.toml", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["thresholds"]["effective_rank"] == 20.0
    assert outcome.document["thresholds"]["equal"] == 0.01


def test_the_answer_has_the_verdict_the_advice_and_the_files(there: Path) -> None:
    outcome = copgen("eval", "pairs", "pairs/")
    assert "look at similarity" in outcome.out
    assert "smaller step" in outcome.out
    assert "pairs-health/results.json" in outcome.out
    assert "copgen show pairs/" in outcome.err
    assert copgen("eval", "pairs", "pairs/", "--json").document["not_judged"] == ["label agreement"]
    rehearsed = copgen("eval", "pairs", "pairs/", "--dry-run", "--out", "new")
    assert rehearsed.code == 0
    assert not Path("new").exists()


def test_the_numbers_of_the_page() -> None:
    limits = PairsThresholds()
    for words in (
        f"at least {limits.label_agreement:g} |",
        f"others in at least {limits.similarity:g} |",
        f"at most {limits.near_duplicates:g} of the anchors |",
        f"up to {limits.duplicate_distance:g} |",
        f"| effective rank | at least {limits.effective_rank:g} |",
        f"(`--n`, {EvalPairsSettings().n:,})",
    ):
        assert words in PAGE
