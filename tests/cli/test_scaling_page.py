"""docs/scaling.md: its commands are commands, and what it says of schedulers is what is read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from copgen.pairs import claims
from tests.cli.command import copgen

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")


def test_every_command_of_the_page_is_one() -> None:
    commands = re.findall(r"\bcopgen (sample --[^\n`]*|pretrain --[^\n`]*)", PAGE)
    assert len(commands) >= 10
    for command in commands:
        words = [word for word in shlex.split(command, comments=True) if word != "&"]
        outcome = copgen(*words, "--help")
        assert outcome.code == 0, command


def test_every_variable_that_is_read_is_on_the_page() -> None:
    source = (Path(__file__).parents[2] / "copgen/runtime/environment.py").read_text("utf-8")
    named = re.findall(r'"((?:SLURM|SKYPILOT|JOB|RANK|WORLD|LOCAL)_?[A-Z_]*)"', source.split("def job_place")[1])
    assert len(named) >= 12
    for name in named:
        assert name in PAGE or name.removeprefix("SLURM_ARRAY_TASK") in PAGE, name


def test_its_numbers_are_those_of_the_claims() -> None:
    text = " ".join(PAGE.split())
    assert f"changes every {claims.BEAT_S:.0f} seconds" in text
    assert f"not changed for {claims.LEASE_S:.0f} seconds" in text
