"""The wheel and the sdist carry what runs: recipes, weights, the typing marker, the console script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = (
    *("copgen", "copgen_cli", "kernels", "csrc"),
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"),
)
DATA = ("copgen/py.typed", "copgen/recipes/digits.toml", "copgen/generators/weights/digits.safetensors")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that is built from it."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    # Compiling takes minutes, and what it makes is tested where it is installed.
    environment = {**os.environ, "COPGEN_BUILD_NATIVE": "0"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "dist"


def test_the_wheel_holds_every_module_and_all_data(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        scripts = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    modules = {str(path.relative_to(ROOT)) for top in SOURCES[:2] for path in (ROOT / top).rglob("*.py")}
    modules |= {f"copgen/kernels/{path.name}" for path in (ROOT / "kernels").glob("*.py")}
    assert modules | set(DATA) <= names
    assert not any(name.startswith(("tests", "examples", "experiments")) for name in names)
    assert "copgen = copgen_cli.main:run" in scripts


def test_the_wheel_states_its_licence(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode()
        licence = wheel.read(metadata.replace("METADATA", "licenses/LICENSE"))
    headers = text.split("\n\n", 1)[0].splitlines()
    assert {"License-Expression: MIT", "License-File: LICENSE", "Author: The copgen authors"} <= set(headers)
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_holds_the_data(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert set(DATA) <= names
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.[ch]*")} <= names


@pytest.mark.parametrize(("wanted", "code"), [("", 0), ("1", 1)])
def test_without_a_compiler_it_is_installed_without_native_operators_unless_they_are_demanded(
    tmp_path: Path, wanted: str, code: int
) -> None:
    line = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    environment = {**os.environ, "CXX": "no-such-compiler", "COPGEN_BUILD_NATIVE": wanted}
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode != 0) == (code != 0)
    assert done.stderr.count("'no-such-compiler'") == 1
    assert (tmp_path / "copgen" / "__init__.py").exists() == (code == 0)
