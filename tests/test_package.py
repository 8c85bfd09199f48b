"""The wheel and the sdist carry what runs: recipes, weights, the typing marker, the console script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
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


def test_the_oldest_versions_that_are_tested_are_the_oldest_that_are_allowed() -> None:
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    tested = re.search(r"^MINIMUM := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tested is not None
    assert {"torch>=2.11", "torchvision>=0.26"} <= set(allowed)
    assert {"torch==2.11.0", "torchvision==0.26.0"} <= set(tested[1].split())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout called `copgen`, its native operators switched off, with a folder beside it for scripts."""
    source = tmp_path_factory.mktemp("scripts") / "copgen"
    for name in SOURCES:
        if name != "csrc":
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            source.mkdir(exist_ok=True)
            copy(ROOT / name, source / name)
    return source


def kernels_seen_by(script: Path, *, cwd: Path, site: Path | None = None) -> Path:
    """Where a script without any installed package finds the launches of the loss; `site` holds .pth files."""
    script.write_text(
        "import importlib.util, site, sys\n"
        f"{'' if site is None else f'site.addsitedir({str(site)!r})'}\n"
        "import copgen\n"
        "assert copgen.__version__\n"
        "print(importlib.util.find_spec('copgen.kernels.info_nce').origin)\n"
        "assert 'torch' not in sys.modules\n"
    )
    line = [sys.executable, "-S", "-E", str(script)]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_build_in_place_finds_the_kernels(checkout: Path) -> None:
    """`make gpu-check` on a machine where nothing may be installed."""
    line = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(line, cwd=checkout, check=True, capture_output=True)
    assert kernels_seen_by(checkout / "script.py", cwd=checkout) == checkout / "kernels" / "info_nce.py"


@pytest.mark.parametrize("mode", [None, "compat", "strict"])
def test_an_editable_installation_is_found_by_a_script_beside_the_checkout(
    checkout: Path, tmp_path: Path, mode: str | None
) -> None:
    """The checkout's folder has the package's name, and the script's folder comes first on the path."""
    settings = None if mode is None else {"editable_mode": mode}
    build = f"import setuptools.build_meta as m; m.build_editable({str(tmp_path)!r}, {settings})"
    subprocess.run([sys.executable, "-c", build], cwd=checkout, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    found = kernels_seen_by(checkout.parent / "script.py", cwd=tmp_path, site=tmp_path)
    assert found.samefile(checkout / "kernels" / "info_nce.py")


def test_an_installed_package_takes_no_folder_beside_it_for_its_kernels(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("raise RuntimeError('another package')")
    found = kernels_seen_by(tmp_path / "script.py", cwd=tmp_path)
    assert found == tmp_path / "copgen" / "kernels" / "info_nce.py"
