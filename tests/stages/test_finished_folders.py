"""Finished folders: one that is read-only is left as it is, and one whose artefact is damaged is not finished."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.events import Silent
from copgen.stages.navigate.stage import navigate
from copgen.stages.pairs_folder.export import export
from copgen.stages.pairs_folder.import_pairs import import_pairs
from copgen.stages.pretrain.stage import pretrain
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.pairs.trees import tree
from tests.stages import navigating, pretraining
from tests.stages.small import Recorder, assert_same_run, files, navigate_settings, write_flow

NOBODY = 65534


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Meanwhile this process may read the folder, but not write it; the superuser becomes another user for that."""
    entries = [folder, *folder.rglob("*")]
    for path in entries:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in entries:
            if path.is_dir():
                path.chmod(0o755)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may look into, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def sampling(place: Path) -> SampleSettings:
    fields = {
        "generator": "digits",
        "weights": place / "flow.safetensors",
        "n": 40,
        "transform": "gaussian",
        "std": 0.1,
    }
    return SampleSettings.model_validate({**fields, "batch": 20, "pairs_per_shard": 20, "device": "cpu"})


STAGES: dict[str, Callable[[Path, Path], Any]] = {
    "navigate": lambda place, out: navigate(
        navigate_settings(place / "flow.safetensors", samples=16, batch=8), out=out, events=Silent()
    ),
    "pretrain": lambda place, out: pretrain(
        pretraining.pretrain_settings(place / "pairs", updates=2), out=out, events=Silent()
    ),
    "sample": lambda place, out: sample(sampling(place), out=out),
    "import": lambda place, out: import_pairs(place / "tree", out=out),
    "export": lambda place, out: export(place / "pairs", to="folder", out=out),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_finished_folder_that_is_read_only_is_no_error(place: Path, name: str) -> None:
    write_flow(place / "flow.safetensors")
    sample(sampling(place), out=place / "pairs")
    tree(place / "tree")
    stage, out = STAGES[name], place / "out"
    first = stage(place, out)
    before = files(out)
    with read_only(place):
        again = stage(place, out)
    assert files(out) == before
    assert {**again, "already_finished": None} == {**first, "already_finished": None}


@pytest.mark.parametrize("name", ["import", "export"])
def test_an_unfinished_folder_that_is_read_only_is_the_environments(place: Path, name: str) -> None:
    write_flow(place / "flow.safetensors")
    sample(sampling(place), out=place / "pairs")
    tree(place / "tree")
    (place / "out").mkdir()
    with read_only(place), pytest.raises(EnvironmentFault, match="out"):
        STAGES[name](place, place / "out")


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1]], ids=["emptied", "truncated"])
@pytest.mark.parametrize("stage", ["navigate", "pretrain"])
def test_a_damaged_artefact_is_written_again(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    flow: Path,
    pretrain_pairs: Path,
    stage: str,
    damage: Callable[[bytes], bytes],
) -> None:
    out, events = tmp_path / "run", Recorder()
    if stage == "navigate":
        straight, artefact = request.getfixturevalue("navigated")("turn"), navigating.ARTEFACT
        again = navigating.as_stage(navigating.of_kind(flow, "turn"))
    else:
        straight, artefact = request.getfixturevalue("straight_pretrain")("sgd"), pretraining.ARTEFACT
        again = pretraining.as_stage(pretraining.pretrain_settings(pretrain_pairs, **pretraining.KINDS["sgd"]))
    shutil.copytree(straight, out)
    (out / artefact).write_bytes(damage((straight / artefact).read_bytes()))
    again(out, events)
    assert_same_run(out, straight, artefact)
    assert any(artefact in warning for warning in events.warnings)
    again(out, events)
    assert len(events.warnings) == 1
