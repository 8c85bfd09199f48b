"""The wheel has one library for every version of torch and of Python, and its operators run where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from copgen.runtime import native
from csrc import wheel as environments
from tests.test_package import ROOT, SOURCES

NAME = "copgen/_native.abi3.so"
CALLS = ("aoti_torch_", "torch_")  # the functions of torch's stable ABI
TESTS = ("tests/latents/operations/test_operators.py", "tests/objectives/test_products.py::test_products_are_added")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout, with the library that was built in place: to compile it takes a minute."""
    if not native.native().usable:
        pytest.skip(f"no native operators: {native.native().reason}")
    source = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    library = source / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}" / NAME
    library.parent.mkdir(parents=True)
    shutil.copy2(ROOT / NAME, library)
    line = [sys.executable, "setup.py", "--quiet", "build_py", "bdist_wheel", "--skip-build", "--dist-dir", "dist"]
    environment = {**os.environ, "COPGEN_BUILD_NATIVE": "1", "COPGEN_CUDA": "0"}
    done = subprocess.run(line, cwd=source, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((source / "dist").glob("*.whl"))


def test_it_says_that_it_is_for_every_python(wheel: Path) -> None:
    assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if ".so" in name] == [NAME]


def test_its_library_calls_nothing_that_one_python_or_torch_has(wheel: Path, tmp_path: Path) -> None:
    if shutil.which("nm") is None:
        pytest.skip("there is no nm")
    with zipfile.ZipFile(wheel) as archive:
        library = archive.extract(NAME, tmp_path)
    listed = subprocess.run(["nm", "-D", "-u", library], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in listed.splitlines()]
    assert any(name.startswith(CALLS) for name in names)
    tied = [name for name in names if name.startswith(("Py", "_Py", "_ZN2at", "_ZN3c10", "_ZNK3c10", "_ZN5torch"))]
    assert tied == []


def test_it_runs_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    python = environments.environment(tmp_path / "environment", wheel, None)
    assert environments.run_tests(python, tmp_path, *TESTS) == 0
