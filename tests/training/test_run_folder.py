"""Run folders: new, resumed, with other settings, with foreign content, and overwritten."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import Field

from copgen.runtime import machine
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.runtime.settings import Settings
from copgen.runtime.settings_files import read_toml
from copgen.storage.files import TEMPORARY_SUFFIX, read_json, write_json
from copgen.storage.lock import LOCK
from copgen.storage.tensors import save_tensors
from copgen.training.run_folder import Logged, RunFolder
from tests.distributed.listeners import Kept


class Toy(Settings):
    free: ClassVar[frozenset[str]] = frozenset({"device"})

    updates: int = Field(default=10, ge=1)
    lr: float = 0.1
    device: str = "auto"


def enter(
    path: Path,
    settings: Toy | None = None,
    *,
    stage: str = "toy",
    overwrite: bool = False,
    inputs: dict[str, str] | None = None,
) -> RunFolder:
    """Open a run folder and leave it again."""
    run = RunFolder(path, stage=stage, artefact="toy.safetensors")
    with run.open(settings or Toy(), device=torch.device("cpu"), overwrite=overwrite, inputs=inputs) as opened:
        assert opened is run
        assert (path / LOCK).exists()
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_folder_starts_a_run(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "runs/toy"
    if exists:
        folder.mkdir(parents=True)
    run = enter(folder, Toy(updates=3), inputs={"generator": "abc"})
    assert read_toml(folder / "config.toml") == {"stage": "toy", "updates": 3, "lr": 0.1, "device": "auto"}
    environment = read_json(folder / "environment.json")
    assert environment == {**machine.describe(torch.device("cpu")), "inputs": {"generator": "abc"}}
    assert sorted(contents(folder)) == ["config.toml", "environment.json"]
    save_tensors(tmp_path / "whole", {"w": torch.zeros(3)}, kind="toy", header={})
    whole = (tmp_path / "whole").read_bytes()
    states = {run.finished}
    for damaged in (b"", whole[:-1], whole[:20], bytes(len(whole)), whole + b"x"):
        run.artefact.write_bytes(damaged)
        states.add(run.finished)
    assert states == {False}
    run.artefact.write_bytes(whole)
    assert run.finished


def test_the_same_command_goes_on(tmp_path: Path) -> None:
    enter(tmp_path, Toy(updates=3, device="cpu"), inputs={"generator": "abc"})
    before = contents(tmp_path)
    enter(tmp_path, Toy(updates=3, device="cuda"), inputs={"generator": "abc"})
    assert contents(tmp_path) == before


def test_other_settings_are_refused_with_each_difference(tmp_path: Path) -> None:
    enter(tmp_path, Toy(updates=3))
    before = contents(tmp_path)
    with pytest.raises(UsageError) as caught:
        enter(tmp_path, Toy(updates=4, lr=0.2))
    assert "(lr: 0.1 -> 0.2; updates: 3 -> 4)" in str(caught.value)
    assert "--overwrite" in caught.value.fix
    assert contents(tmp_path) == before


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    enter(tmp_path, inputs={"generator": "a" * 64, "pairs": "c" * 64})
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"sha256 of the generator: aaaaaaaaaaaa\.\.\. -> bbbbbbbbbbbb\.\.\."):
        enter(tmp_path, inputs={"generator": "b" * 64, "pairs": "c" * 64})
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", ["holiday.jpg", ".hidden", "environment.json", "checkpoints/update-00000001.json"])
def test_foreign_content_is_left_alone(tmp_path: Path, content: str, overwrite: bool) -> None:
    (tmp_path / content).parent.mkdir(exist_ok=True)
    (tmp_path / content).write_text("mine")
    with pytest.raises(EnvironmentFault, match=r"not empty .*run"):
        enter(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {content: b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("text", ["", 'title = "another program"', 'stage = "other"\nupdates = 10'])
def test_the_run_of_another_stage_is_left_alone(tmp_path: Path, text: str, overwrite: bool) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(EnvironmentFault, match="--out"):
        enter(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {"config.toml": text.encode()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_config_that_is_not_toml_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "config.toml").write_text("not toml")
    with pytest.raises(EnvironmentFault, match="is not TOML"):
        enter(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {"config.toml": b"not toml"}


def test_overwrite_clears_its_own_files_only(tmp_path: Path) -> None:
    run = enter(tmp_path, Toy(updates=3))
    own = ["metrics.jsonl", "log.txt", "summary.json", "toy.safetensors"]
    own += ["checkpoints/update-00000001.json", "previews/a.png", "snapshots/b.safetensors"]
    theirs = ["notes.txt", "pictures/c.png", "checkpoints.txt"]
    for name in own + theirs:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    enter(tmp_path, Toy(updates=4), overwrite=True)
    assert sorted(contents(tmp_path)) == sorted([*theirs, "config.toml", "environment.json"])
    assert read_toml(tmp_path / "config.toml")["updates"] == 4
    assert not run.finished


def test_overwrite_removes_results_of_the_artefact_alone(tmp_path: Path) -> None:
    enter(tmp_path)
    (tmp_path / "toy.safetensors").write_bytes(b"the encoder")
    own, other = ({"sha256": hashlib.sha256(content).hexdigest()} for content in (b"the encoder", b"another"))
    documents = {
        "eval/linear/results.json": {"kind": "eval-linear", "encoder": own},
        "eval/other/results.json": {"kind": "eval-linear", "encoder": other},
        "eval/thesis/results.json": {"kind": "thesis", "encoder": own},
        "eval/list/results.json": [own],
        "eval/linear/notes.json": {"kind": "eval-linear", "encoder": own},
        "mine/results.json": {"kind": "eval-linear", "encoder": own},
    }
    for name, document in documents.items():
        write_json(tmp_path / name, document)
    enter(tmp_path, overwrite=True)
    kept = [*list(documents)[1:], "config.toml", "environment.json"]
    assert sorted(contents(tmp_path)) == sorted(kept)


def test_overwrite_of_nothing_starts_a_run(tmp_path: Path) -> None:
    enter(tmp_path / "a", overwrite=True)
    assert sorted(contents(tmp_path / "a")) == ["config.toml", "environment.json"]


CONFIG, ENVIRONMENT = "config.toml", "environment.json"


@pytest.mark.parametrize(
    "left", [[CONFIG + TEMPORARY_SUFFIX], [CONFIG], [CONFIG, ENVIRONMENT + TEMPORARY_SUFFIX], [CONFIG, ENVIRONMENT]]
)
def test_a_kill_at_the_very_start_does_not_lock_the_folder_out(tmp_path: Path, left: list[str]) -> None:
    whole = tmp_path / "whole"
    enter(whole)
    folder = tmp_path / "killed"
    folder.mkdir()
    for name in left:
        source = whole / name
        (folder / name).write_bytes(source.read_bytes() if source.exists() else b"")
    enter(folder)
    found = contents(folder)
    assert {name: found[name] for name in found if not name.endswith(TEMPORARY_SUFFIX)} == contents(whole)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EnvironmentFault, match="is a file, not a folder"):
        enter(tmp_path / "file")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        enter(tmp_path / "file/run")
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        enter(tmp_path)


def test_the_folder_is_held_by_one(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, stage="toy", artefact="a")
    with (
        run.open(Toy(), device=torch.device("cpu"), overwrite=False),
        pytest.raises(EnvironmentFault, match="in use by another"),
    ):
        enter(tmp_path, overwrite=True)
    enter(tmp_path)


def test_the_log_keeps_sentences_and_passes_everything_on(tmp_path: Path) -> None:
    kept = Kept()
    logged = Logged(kept, tmp_path / "log.txt")
    logged.begin("toy", total=10, unit="samples", done=5)
    logged.advance(6, {"loss": 1.0})
    logged.say("Ünder way.")
    logged.warn("Cut.")
    logged.end()
    assert (tmp_path / "log.txt").read_text("utf-8") == "Ünder way.\nwarning: Cut.\n"
    assert (kept.said, kept.warned, kept.progress, kept.ended) == (["Ünder way."], ["Cut."], [6], 1)
    assert kept.begun == [("toy", 10, "samples", 5)]


def test_the_log_has_a_line_for_each_message_whatever_is_in_it(tmp_path: Path) -> None:
    logged = Logged(Kept(), tmp_path / "log.txt")
    logged.say("Reads caf\udce9\n\x1b[31m.")
    logged.warn("Cut.")
    assert (tmp_path / "log.txt").read_text("utf-8") == "Reads caf\\xe9\\n\\x1b[31m.\nwarning: Cut.\n"


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    enter(tmp_path)
    (tmp_path / "previews").mkdir()
    left = [tmp_path / f"summary.json{TEMPORARY_SUFFIX}", tmp_path / "previews" / f"samples-0.png{TEMPORARY_SUFFIX}"]
    whole = tmp_path / "previews" / "samples-1.png"
    for path in (*left, whole):
        path.write_bytes(b"half")
    enter(tmp_path)
    assert [path.exists() for path in (*left, whole)] == [False, False, True]
