"""Loading the native operators: what is refused is said, with the command that mends it, and the reference runs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from copgen.runtime import dispatch, native

HOW = {"torch": str(torch.__version__), "compiler": "gcc 12", "cuda": "", "architectures": "", "openmp": "201511"}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test loads anew, and leaves no trace."""
    monkeypatch.delenv("COPGEN_NATIVE", raising=False)
    native._load.cache_clear()
    yield
    native._load.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, how: dict[str, str] | None) -> None:
    """As if the loader had been built so, or not at all."""
    real = importlib.import_module

    def load(name: str) -> Any:
        if name != "copgen._C":
            return real(name)
        if how is None:
            raise ImportError("no such module")
        return SimpleNamespace(built=lambda: how)

    monkeypatch.setattr(importlib, "import_module", load)


def test_the_environment_can_force_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_NATIVE", "0")
    pretend(monkeypatch, HOW)
    choice = dispatch.choose("navigate", CPU, torch.float32)
    assert (choice.name, choice.reason) == ("reference", "COPGEN_NATIVE=0 forces the reference")


def test_without_a_build_the_reference_runs_with_one_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    with pytest.warns(RuntimeWarning, match=r"were not built .* pip install --no-build-isolation"):
        found = native.native()
    assert not found.usable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatch.choose("navigate", CPU, torch.float32).name == "reference"


def test_a_build_for_another_torch_is_refused_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {**HOW, "torch": "2.0.0"})
    monkeypatch.setattr(torch.ops, "load_library", lambda path: pytest.fail("it was loaded"))
    with pytest.warns(RuntimeWarning, match=r"built for torch 2\.0\.0 and this is"):
        found = native.native()
    assert not found.usable
    assert native.REBUILD in found.reason


def test_a_library_that_cannot_be_loaded_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, HOW)
    if next(native.folder().glob("_ops*.so"), None) is None:
        pytest.skip("there is no library to fail on")

    def fail(path: object) -> None:
        raise OSError("undefined symbol: _ZN3foo")

    monkeypatch.setattr(torch.ops, "load_library", fail)
    with pytest.warns(RuntimeWarning, match="undefined symbol: _ZN3foo"):
        assert not native.native().usable


def test_a_library_from_older_sources_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, HOW)
    (tmp_path / "_ops.so").touch()
    monkeypatch.setattr(native, "folder", lambda: tmp_path)
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
