"""docs/generators.md is followed to the letter, from the two files of the authors to a grid, with small files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from copgen.generators import registry
from tests.cli.command import copgen
from tests.stages.published import write_bigbigan
from tests.storage.foreign.files import authors_navigator

PAGE = (Path(__file__).parents[2] / "docs" / "generators.md").read_text("utf-8")
FIRST = PAGE.split("\n## ")[1]
TERMS = PAGE.split("\n## Terms of the weights\n")[1].split("\n## ")[0]


def test_the_first_section_leads_to_a_grid(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_WEIGHTS", "weights")
    write_bigbigan(Path("BigBiGAN_x1.pth"))
    authors_navigator(Path("w_COPGen_pretained.pth"))
    commands = re.findall(r"^    copgen (.*)$", FIRST, re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        *("generator", "generator"),
        *("navigator", "navigator"),
        "sample",
    ]
    for command in commands:
        outcome = copgen(*shlex.split(command.replace("--n 64", "--n 16"), comments=True))
        assert outcome.code == 0, outcome.err
    assert Path("samples.png").exists()
    programs = re.findall(r"^```python\n(.*?)^```$", FIRST, re.MULTILINE | re.DOTALL)
    assert len(programs) == 2
    for program in ("", *programs):
        exec(program, {})
        with Image.open("grid.png") as picture:
            assert picture.size == (16 * 128 + 15 * 2, 2 * 128 + 2)
        Path("grid.png").unlink()


@pytest.mark.parametrize("name", registry.names())
def test_the_terms_of_every_file_of_a_generator_are_stated(name: str) -> None:
    known = registry.entry(name)
    rows = [line for line in TERMS.splitlines() if f"| `{name}` |" in line]
    for file in [file.name for file in known.files] or [known.embedded or "generator.safetensors"]:
        assert [f"`{file}`" in row and f"| {known.licence}" in row for row in rows].count(True) == 1, file
