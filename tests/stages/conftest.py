"""What the tests of the stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

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
