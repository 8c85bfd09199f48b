"""What Triton needs to compile: found where it is, and named where it is missing."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from copgen.runtime.triton_build import triton_version, what_triton_lacks

triton = pytest.importorskip("triton")
COMPILER = shutil.which("gcc") or shutil.which("clang")
HAS_HEADERS = (Path(sysconfig.get_path("include")) / "Python.h").is_file()
needs_compiler = pytest.mark.skipif(COMPILER is None or not HAS_HEADERS, reason="no C compiler or no Python.h here")


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)


@needs_compiler
def test_nothing_is_missing_where_a_compiler_finds_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert what_triton_lacks() == ""
    monkeypatch.setenv("CC", str(COMPILER))
    assert what_triton_lacks() == ""


def test_a_machine_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lacking = what_triton_lacks()
    assert "C compiler" in lacking
    assert "gcc" in lacking


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "nowhere-cc")
    assert "nowhere-cc" in what_triton_lacks()


@needs_compiler
def test_python_without_its_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name, scheme: str(tmp_path))
    compiler = tmp_path / "gcc"  # of its own name, as the answer for a compiler is kept
    compiler.symlink_to(str(COMPILER))
    monkeypatch.setenv("CC", str(compiler))
    lacking = what_triton_lacks()
    assert "Python.h" in lacking
    assert str(tmp_path) in lacking


def test_a_compiler_that_does_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "cc"
    broken.write_text("no program\n")
    os.chmod(broken, 0o755)
    monkeypatch.setenv("CC", str(broken))
    assert str(broken) in what_triton_lacks()


def test_the_version_does_not_depend_on_the_name_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("triton")
    other.__version__ = "3.7.0+rocm"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton", other)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "here")
    monkeypatch.setattr("importlib.metadata.version", lambda name: pytest.fail("a distribution was asked for"))
    assert triton_version() == "3.7.0+rocm"


def test_a_triton_that_cannot_be_imported_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)  # an import raises then
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "here")
    assert triton_version().startswith("cannot be imported")
    assert "cannot be imported" in what_triton_lacks()
