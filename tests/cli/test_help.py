"""Help: every screen fits 80 columns, needs no heavy import, and is that of the snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from copgen_cli.table import COMMANDS
from tests.cli.command import copgen
from tests.cli.surface import FLAGS, HELP, commands, screens, surface

PATHS = [path.split()[1:] for path, _ in commands()]
HEAVY = ("markdown_it", "pygments", "torch", "torchvision", "numpy", "sklearn", "scipy", "PIL", "safetensors")
LOOK = """
import json, sys
from copgen_cli.main import main
codes = [main([*path, "--help"]) for path in json.loads(sys.argv[1])] + [main(["--version"])]
print(json.dumps({"codes": codes, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_fits_80_columns_and_shows_examples(path: list[str], flag: str) -> None:
    outcome = copgen(*path, flag)
    assert outcome.code == 0
    assert max(len(line) for line in outcome.out.splitlines()) <= 80
    examples = outcome.out.split("Examples")[1].strip().splitlines()
    assert len(examples) >= 2
    assert all(line.strip().startswith("copgen ") for line in examples)


@pytest.mark.parametrize(("paths", "absent"), [([[]], (*HEAVY, "pydantic")), (PATHS, HEAVY)], ids=["top", "all"])
def test_loads_nothing_heavy(paths: list[list[str]], absent: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(paths)], capture_output=True, text=True, timeout=240, check=True
    )
    seen = json.loads(done.stderr)
    assert set(seen["codes"]) == {0}
    assert [name for name in absent if name in seen["modules"]] == []


@pytest.mark.parametrize("path", [path for path, entry in COMMANDS.items() if entry.place])
def test_the_line_of_a_command_is_the_first_of_its_help(path: str) -> None:
    assert (COMMANDS[path].load().body.__doc__ or "").splitlines()[0] == COMMANDS[path].line


GROUPS = [[], *([path] for path, entry in COMMANDS.items() if not entry.place)]


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_group_alone_shows_its_help(path: list[str]) -> None:
    assert copgen(*path).out.strip() == copgen(*path, "--help").out.strip()


@pytest.mark.parametrize(("text", "snapshot"), [(surface, FLAGS), (screens, HELP)], ids=["flags", "help"])
def test_flags_and_help_are_those_of_the_snapshot(text: Callable[[], str], snapshot: Path) -> None:
    assert text() == snapshot.read_text("utf-8"), "if intended, run: python -m tests.cli.surface"


def test_runs_as_a_module(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "copgen_cli", "--version"], capture_output=True, text=True, timeout=240, cwd=root
    )
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "copgen", "")
