"""The search order of weights: the given folder, that of the environment variable, the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from copgen import generators
from copgen.generators import weights_directory
from copgen.generators.public_files import PublicFile
from copgen.runtime.errors import EnvironmentFault

FILES = (
    PublicFile(role="weights", name="net.tar.gz", archive=True, inside="net"),
    PublicFile(role="weights", name="net.pth"),
    PublicFile(role="instances", name="i.npy"),
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COPGEN_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_named_folder_beats_the_variable_beats_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_directory.weights_directory() == tmp_path / "cache" / "copgen" / "weights"
    monkeypatch.setenv("COPGEN_WEIGHTS", str(tmp_path / "variable"))
    assert weights_directory.weights_directory() == tmp_path / "variable"
    assert weights_directory.weights_directory(tmp_path / "named") == tmp_path / "named"
    monkeypatch.setenv("COPGEN_WEIGHTS", "~/weights")
    assert weights_directory.weights_directory() == Path.home() / "weights"


@pytest.mark.parametrize("value", ["", "relative"])
def test_without_a_proper_cache_it_is_the_usual_one(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert weights_directory.weights_directory() == Path.home() / ".cache" / "copgen" / "weights"


@pytest.mark.parametrize("place", ["net.pth", "NAME/net.pth", "net/G.pth", "NAME/net/G.pth"])
def test_published_files_are_found_as_they_are(tmp_path: Path, place: str) -> None:
    assert weights_directory.find("NAME", FILES, directory=tmp_path) is None
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    expected = file.parent if file.name == "G.pth" else file
    assert weights_directory.find("NAME", FILES, directory=tmp_path) == expected


def test_imported_weights_come_first(tmp_path: Path) -> None:
    (tmp_path / "net.pth").touch()
    (tmp_path / "NAME.safetensors").touch()
    (tmp_path / "i.npy").touch()
    assert weights_directory.find("NAME", FILES, directory=tmp_path) == tmp_path / "NAME.safetensors"


def test_weights_that_are_nowhere_are_named_with_their_address() -> None:
    with pytest.raises(EnvironmentFault, match=r"no weights of 'bigbigan' in .*cache/copgen/weights") as caught:
        generators.load("bigbigan")
    assert "copgen generator fetch bigbigan" in caught.value.fix
    assert "https://" in caught.value.fix
    assert "copgen generator import bigbigan BigBiGAN_x1.pth" in caught.value.fix
