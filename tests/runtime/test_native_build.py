"""The command that builds the native operators names the sources that an installation came from."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import copgen
from copgen.runtime import native_build

PIP = "pip install --no-build-isolation --no-deps --force-reinstall"
INSTALLED = Path("site-packages") / "copgen" / "__init__.py"


def installed_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: dict[str, Any] | None) -> None:
    """As if the package lay in a folder of packages, with what pip records of where it came from."""
    monkeypatch.setattr(copgen, "__file__", str(tmp_path / INSTALLED))
    recorded = None if source is None else json.dumps(source)
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: recorded))


def test_a_checkout_is_built_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = Path(copgen.__file__).parent.parent
    monkeypatch.chdir(root)
    assert native_build.build_command() == f"{PIP} --editable ."
    monkeypatch.chdir(tmp_path)
    assert native_build.build_command(cuda=True) == f"COPGEN_CUDA=1 {PIP} --editable {root}"


@pytest.mark.parametrize(
    ("source", "sources"),
    [
        ({"url": "file:///sources/my%20copgen", "dir_info": {}}, "'/sources/my copgen'"),
        ({"url": "https://example.org/copgen-0.1.0.tar.gz"}, "https://example.org/copgen-0.1.0.tar.gz"),
        (
            {"url": "https://example.org/copgen.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "git+https://example.org/copgen.git@abc",
        ),
        ({"url": "file:///downloads/copgen-0.1.0-py3-none-any.whl"}, "--no-binary copgen copgen"),
        (None, "--no-binary copgen copgen"),
    ],
    ids=["folder", "archive", "git", "wheel", "index"],
)
def test_an_installation_is_built_from_what_it_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: dict[str, Any] | None, sources: str
) -> None:
    installed_from(monkeypatch, tmp_path, source)
    assert native_build.build_command() == f"{PIP} {sources}"


def test_what_the_environment_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert native_build.lacking() == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert native_build.lacking().endswith(" lacks setuptools")
