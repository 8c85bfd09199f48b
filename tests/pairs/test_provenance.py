"""What is recorded of the origin of pairs: hashes always, the training of the navigator if its file is still there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copgen.latents.navigator import new_navigator, save_navigator
from copgen.latents.prior import Prior
from copgen.latents.walks import Walk, save_walk
from copgen.pairs import layout
from copgen.pairs.places import Places
from copgen.pairs.provenance import of_folder, provenance
from copgen.storage.files import sha256_of
from tests.pairs.folders import imported_plan, plan

MADE_BY = {"stage": "navigate", "generator": "digits", "settings": {"seed": 4}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A navigate run, and the walk of a steering run."""
    save_navigator(tmp_path / "navigator.safetensors", new_navigator(4, prior=Prior(), seed=0), made_by=MADE_BY)
    save_walk(tmp_path / "walk.safetensors", Walk("edits", 4), made_by=MADE_BY)
    return tmp_path


@pytest.mark.parametrize(("transform", "kind"), [("optimal", "navigator"), ("steering", "walk")])
def test_the_training_of_a_file_with_the_hash_of_the_plan(transform: str, kind: str, run: Path) -> None:
    made = plan(transform={"name": transform, "sha256": sha256_of(run / f"{kind}.safetensors")})
    for place in (run, run / f"{kind}.safetensors"):
        found = provenance(made, transform_file=place)
        assert found[kind] == MADE_BY
        assert (found["plan"], found["seed"], found["pairs"]) == (made.digest, 3, 7)
        assert found["generator"]["sha256"] == "a" * 64
        assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("place", [None, "", "navigator.safetensors", "nowhere"])
def test_hashes_alone_without_that_file(place: str | None, run: Path) -> None:
    found = provenance(plan(), transform_file=None if place is None else run / place)
    assert "navigator" not in found
    assert found["transform"] == {"name": "optimal", "settings": {"delta": 0.23}, "sha256": "b" * 64}


def test_a_folder_remembers_the_place(run: Path) -> None:
    made = plan(transform={"name": "optimal", "sha256": sha256_of(run / "navigator.safetensors")})
    folder = run / "pairs"
    Places.of({"navigator": run}).save(folder)
    assert of_folder(folder, made)["navigator"] == MADE_BY
    (folder / layout.PLACES).write_text("[]")
    assert "navigator" not in of_folder(folder, made)


def test_imported_pairs_know_their_source() -> None:
    found = provenance(imported_plan())
    assert found["imported"]["name"] == "tree"
    assert "generator" not in found
