"""Loading the native operators: what is refused is said, with the command that mends it, and the reference runs."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from copgen.runtime import dispatch, native

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test loads anew, and leaves no trace."""
    monkeypatch.delenv("COPGEN_NATIVE", raising=False)
    native._load.cache_clear()
    yield
    native._load.cache_clear()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file in the place of the library."""
    monkeypatch.setattr(native, "folder", lambda: tmp_path)
    path = tmp_path / "_native.abi3.so"
    path.touch()
    return path


def test_the_environment_can_force_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_NATIVE", "0")
    choice = dispatch.choose("navigate", CPU, torch.float32)
    assert (choice.name, choice.reason) == ("reference", "COPGEN_NATIVE=0 forces the reference")


def test_without_a_build_the_reference_runs_with_one_notice(library: Path) -> None:
    library.unlink()
    with pytest.warns(RuntimeWarning, match=r"were not built .* pip install --no-build-isolation"):
        found = native.native()
    assert not found.usable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatch.choose("navigate", CPU, torch.float32).name == "reference"


def test_without_a_compiler_the_notice_says_that_one_is_missing(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.unlink()
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.warns(RuntimeWarning, match=r"lacks .*'no-such-compiler'.* pip install --no-build-isolation"):
        native.native()


def test_a_library_that_cannot_be_loaded_is_said_to_be_so(library: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"cannot be loaded: .*_native\.abi3\.so.* pip install"):
        assert not native.native().usable


@pytest.mark.usefixtures("library")
def test_a_library_from_older_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "load_library", lambda path: None)
    monkeypatch.setattr(native, "OPERATORS", ("navigate_by_the_stars",))
    with pytest.warns(RuntimeWarning, match="older sources, without navigate_by_the_stars"):
        assert not native.native().usable


def test_both_implementations_draw_the_same_bytes_in_processes_of_their_own() -> None:
    code = (
        "import hashlib, copgen;"
        "p = copgen.latents.Prior(kind='truncated_normal', scale=1.3);"
        "z = [p.draw(range(500), dim=33, seed=7), copgen.latents.Prior().draw(range(500), dim=33, seed=7)];"
        "print([hashlib.sha256(x.numpy().tobytes()).hexdigest() for x in z])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, "COPGEN_NATIVE": value},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for value in ("0", "1")
    }
    assert len(said) == 1
