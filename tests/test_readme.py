"""The README's Python runs as it stands, on what its commands left; only the number of samples is changed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import assert_type

import pytest

import copgen
from copgen.generators import Generator
from copgen.storage.files import read_json
from tests.stages.small import navigate_settings

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
SAMPLES = "20_000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the four commands leave, in small."""
    place = tmp_path_factory.mktemp("readme")
    drawn = {"generator": "digits", "samples": 256, "batch": 128, "views": "mnist", "encoder": "digits"}
    copgen.navigate(copgen.NavigateSettings.model_validate(drawn), out=place / "runs/navigate")
    written = {"generator": "digits", "n": 32, "transform": "optimal", "navigator": place / "runs/navigate"}
    copgen.sample(copgen.SampleSettings.model_validate(written), out=place / "pairs")
    learned = {"pairs": place / "pairs", "updates": 2, "batch": 16, "views": "mnist", "encoder": "digits"}
    copgen.pretrain(copgen.PretrainSettings.model_validate(learned), out=place / "runs/pretrain")
    return place


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_python_runs(number: int, folder: Path) -> None:
    program = BLOCKS[number].replace(SAMPLES, "512")
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_shows_a_stage(folder: Path) -> None:
    (block,) = [block for block in BLOCKS if SAMPLES in block]
    assert "copgen.navigate(settings, out=" in block


def test_a_stage_and_its_folder_have_names_of_their_own(flow: Path, tmp_path: Path) -> None:
    import copgen.stages.navigate.stage as module

    assert copgen.navigate is copgen.stages.navigate.navigate is module.navigate
    settings = navigate_settings(flow, samples=8)
    assert isinstance(settings, copgen.NavigateSettings)
    summary = copgen.navigate(settings, out=str(tmp_path / "run"))
    assert summary == read_json(tmp_path / "run" / "summary.json")


@pytest.mark.parametrize("name", copgen.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(copgen, name) is not None
    assert name in dir(copgen)


def test_what_it_exports_is_typed() -> None:
    """mypy fails here where a name is not what it is."""
    assert_type(copgen.generators.load("digits"), Generator)
    assert_type(copgen.stages.navigate.NavigateSettings, type[copgen.NavigateSettings])


def test_importing_copgen_imports_no_torch() -> None:
    program = "import sys, copgen; dir(copgen); assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
