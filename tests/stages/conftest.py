"""What the tests of the stages share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from copgen.stages.navigate import navigate
from tests.stages.navigating import of_kind
from tests.stages.small import write_flow


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a small untrained flow."""
    return write_flow(tmp_path_factory.mktemp("generator") / "flow.safetensors")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which all temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def navigated(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an uninterrupted run of each kind; nobody writes into it."""
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind) / "run"
            navigate(of_kind(flow, kind), out=folders[kind])
        return folders[kind]

    return folder
