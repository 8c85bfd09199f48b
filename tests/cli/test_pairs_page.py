"""docs/pairs.md is followed to the letter: every command of it on a small folder, and its Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.command import copgen
from tests.pairs import folders

PAGE = (Path(__file__).parents[2] / "docs" / "pairs.md").read_text("utf-8")
COMMANDS = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def sampled(here: Path) -> Path:
    """Forty pairs in `pairs/`."""
    folders.write(here / "pairs", folders.plan(pairs=40, pairs_per_shard=10, image_shape=(1, 8, 8)))
    return here


def test_every_command_runs(sampled: Path) -> None:
    assert len(COMMANDS) >= 12
    for command in COMMANDS:
        outcome = copgen(*shlex.split(command, comments=True))
        assert outcome.code == 0, outcome.err
    assert Path("tree/train/0000/seed0000_sample00017_anchor.png").exists()
    assert Path("pairs-imported/manifest.json").exists()


def test_the_python_runs(sampled: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(program, found)
    assert found["problems"] == []
    assert len(found["pairs"]) == 40  # type: ignore[arg-type]
