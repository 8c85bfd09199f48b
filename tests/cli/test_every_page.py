"""All pages: their commands exist, with their options; the Python of pages that have no test of their own runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.command import copgen

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples/plugin_gan/README.md"]
COMMANDS = [
    pytest.param(command, id=f"{page.stem}: {command}")
    for page in PAGES
    for command in re.findall(r"^    copgen (.*)$", page.read_text("utf-8"), re.MULTILINE)
]


def test_there_are_commands_on_the_pages() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists_with_its_options(command: str) -> None:
    """Most of them need files, networks or days; `--help` is refused if an option before it does not exist."""
    outcome = copgen(*shlex.split(command, comments=True), "--help")
    assert outcome.code == 0, outcome.err


def test_an_option_that_does_not_exist_is_found() -> None:
    assert copgen("sample", "--no-such-option", "3", "--help").code == 2


@pytest.mark.parametrize("name", ["contrastive.md", "views.md"])
def test_the_python_runs(name: str) -> None:
    programs = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / name).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert programs
    for program in programs:
        exec(program, {})
