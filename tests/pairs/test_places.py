"""Paths of a plan's input files: saved, merged, and read back as a user would write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copgen.pairs import layout
from copgen.pairs.places import Places
from copgen.runtime.errors import DataError


def test_places_are_absolute_and_read_back_as_near_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Places.of({"navigator": Path("runs/navigate"), "walk": Path("-walk"), "weights": Path("../w")}).save(tmp_path / "p")
    there = Places.load(tmp_path / "p")
    assert there.files["navigator"] == str(tmp_path / "runs/navigate")
    assert there.path("navigator") == Path("runs/navigate")
    assert there.path("walk") == tmp_path / "-walk"  # "-walk" would be an option
    assert there.path("weights") == tmp_path.parent / "w"
    assert there.path("instances") is None
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert there.path("navigator") == tmp_path / "runs/navigate"


def test_places_are_added_to_what_is_there(tmp_path: Path) -> None:
    assert Places.load(tmp_path) == Places()
    Places().save(tmp_path)
    assert not (tmp_path / layout.PLACES).exists()
    Places.of({"navigator": Path("/a"), "weights": Path("/w")}).save(tmp_path)
    Places.of({"navigator": Path("/b")}).save(tmp_path)
    assert Places.load(tmp_path).files == {"navigator": "/b", "weights": "/w"}
    before = os.stat(tmp_path / layout.PLACES)
    Places.of({"weights": Path("/w")}).save(tmp_path)
    assert os.stat(tmp_path / layout.PLACES).st_ino == before.st_ino


def test_a_path_that_could_redraw_a_terminal_is_left_out(tmp_path: Path) -> None:
    Places.of({"navigator": Path("/a\x1b[2J"), "weights": Path("/w\u00e9 1")}).save(tmp_path)
    assert Places.load(tmp_path).files == {"weights": "/w\u00e9 1"}


@pytest.mark.parametrize(
    ("text", "says", "fix"),
    [
        ('{"format": 2, "files": {}}', "has format 2", "Update copgen."),
        ('{"format": 1, "files": {"weights": "w"}}', "absolute path", "Remove it"),
        ("[]", "places.json", "Remove it"),
    ],
)
def test_an_invalid_file_is_refused_and_replaced(tmp_path: Path, text: str, says: str, fix: str) -> None:
    (tmp_path / layout.PLACES).write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        Places.load(tmp_path)
    assert fix in caught.value.fix
    Places.of({"weights": Path("/w")}).save(tmp_path)
    assert Places.load(tmp_path).files == {"weights": "/w"}
