"""The run folder of pretrain, and what it refuses: damaged pairs, invalid settings, foreign folders."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from copgen import encoders
from copgen.methods import simclr
from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.settings import build
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.pretrain.stage import pretrain
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.storage.files import read_json
from tests.stages.pretraining import ARTEFACT, KINDS, PAIRS, K, pretrain_settings
from tests.stages.small import At, Recorder, assert_same_run, files, send


def cut(folder: Path) -> Path:
    path = folder / "shards" / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    return path


def altered(folder: Path) -> Path:
    path = folder / "shards" / "shard-000001.tar"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def removed(folder: Path) -> Path:
    path = folder / "shards" / "shard-000001.tar"
    path.unlink()
    return path


def unfinished(folder: Path) -> Path:
    (folder / "manifest.json").unlink()
    return folder


def nowhere(folder: Path) -> Path:
    shutil.rmtree(folder)
    return folder


@pytest.mark.parametrize("damage", [cut, altered, removed, unfinished, nowhere])
def test_damaged_pairs_are_refused_by_name_and_nothing_is_written(
    pretrain_pairs: Path, tmp_path: Path, damage: Callable[[Path], Path]
) -> None:
    shutil.copytree(pretrain_pairs, tmp_path / "pairs")
    path = damage(tmp_path / "pairs")
    with pytest.raises(DataError) as caught:
        pretrain(pretrain_settings(tmp_path / "pairs"), out=tmp_path / "run")
    assert caught.value.code == ExitCode.DATA
    assert str(path) in caught.value.what
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch": PAIRS + 1}, "batch of 81 .* 80 pairs"),
        ({"pairs": None, "dataset": "digit"}, "no dataset 'digit'. Did you mean 'digits'"),
        ({"pairs": None}, "--pairs"),
        ({"views": "mnis"}, "no view policy 'mnis'"),
        ({"views": "simclr"}, "normalises 3 channels; the images have 1"),
        ({"encoder": "digts"}, "no encoder 'digts'"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_invalid_settings_are_refused_and_change_nothing(
    pretrain_pairs: Path,
    tmp_path: Path,
    straight_pretrain: Callable[[str], Path],
    changes: dict[str, Any],
    says: str,
    overwrite: bool,
) -> None:
    if overwrite:
        shutil.copytree(straight_pretrain("sgd"), tmp_path / "run")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=says):
        pretrain(pretrain_settings(pretrain_pairs, **changes), out=tmp_path / "run", overwrite=overwrite)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"updates": 0}, "updates = 0"),
        ({"epochs": -1.0}, r"epochs = -1\.0"),
        ({"epochs": math.inf}, "epochs = inf"),
        ({"epochs": 1e300}, r"epochs = 1e\+300"),
        ({"warmup_epochs": 1e300}, r"warmup_epochs = 1e\+300"),
        ({"final_lr": 2.0}, r"final_lr = 2\.0"),
        ({"optimizer": "sdg"}, "optimizer = 'sdg'"),
        ({"projector": (16, 0)}, r"projector\.1 = 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_their_value(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(PretrainSettings, changes, origin="pretrain")


def test_a_folder_that_holds_something_else_is_left_alone(pretrain_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(EnvironmentFault, match=r"thesis\.tex") as caught:
        pretrain(pretrain_settings(pretrain_pairs), out=tmp_path, overwrite=True)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert list(files(tmp_path)) == ["thesis.tex"]


def test_a_finished_run_returns_its_summary_and_computes_nothing(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(straight_pretrain("sgd"), tmp_path / "run")
    before = files(tmp_path / "run")
    monkeypatch.setattr(simclr, "info_nce", None)
    summary = pretrain(pretrain_settings(pretrain_pairs, **KINDS["sgd"]), out=tmp_path / "run")
    assert summary == read_json(straight_pretrain("sgd") / "summary.json")
    assert files(tmp_path / "run") == before


def test_changed_settings_are_refused_with_the_difference(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path]
) -> None:
    shutil.copytree(straight_pretrain("sgd"), tmp_path / "run")
    with pytest.raises(UsageError, match=r"batch: 16 -> 8; temperature: 0\.5 -> 0\.1"):
        pretrain(pretrain_settings(pretrain_pairs, **KINDS["sgd"], batch=8, temperature=0.1), out=tmp_path / "run")


def test_other_pairs_under_the_same_path_are_refused(flow: Path, pretrain_pairs: Path, tmp_path: Path) -> None:
    place = tmp_path / "pairs"
    shutil.copytree(pretrain_pairs, place)
    settings = pretrain_settings(place, updates=2)
    pretrain(settings, out=tmp_path / "run")
    fields = {"generator": "digits", "weights": flow, "n": PAIRS, "transform": "none", "device": "cpu"}
    sample(SampleSettings.model_validate(fields), out=place, overwrite=True)
    with pytest.raises(UsageError, match="sha256 of the pairs"):
        pretrain(settings, out=tmp_path / "run")
    pretrain(settings, out=tmp_path / "run", overwrite=True)
    assert encoders.load(tmp_path / "run").feature_dim == 64


def test_overwrite_starts_from_scratch(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path]
) -> None:
    pretrain(pretrain_settings(pretrain_pairs, seed=4, updates=11), out=tmp_path)
    pretrain(pretrain_settings(pretrain_pairs, **KINDS["sgd"]), out=tmp_path, overwrite=True)
    assert_same_run(tmp_path, straight_pretrain("sgd"), ARTEFACT)


def test_a_resumed_run_says_from_where(pretrain_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        pretrain(pretrain_settings(pretrain_pairs), out=tmp_path, events=At(2 * K, lambda: send(signal.SIGINT)))
    assert caught.value.code == ExitCode.INTERRUPTED
    events = Recorder()
    pretrain(pretrain_settings(pretrain_pairs), out=tmp_path, events=events)
    assert events.tasks == [("pretrain", 8 * K, "samples", 2 * K)]
    assert f"update 2 of 8 in {tmp_path}" in " ".join(events.sentences)
    assert events.sentences[0] in (tmp_path / "log.txt").read_text()


def test_a_queue_that_does_not_fit_into_memory_is_no_fault_of_copgen(pretrain_pairs: Path, tmp_path: Path) -> None:
    settings = pretrain_settings(pretrain_pairs, **KINDS["nnclr"] | {"queue": 10**13})
    with pytest.raises(EnvironmentFault, match="out of memory") as caught:
        pretrain(settings, out=tmp_path / "run")
    assert "queue" in caught.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("has", [False, True])
def test_bfloat16_without_instructions_for_it_is_warned_of(
    pretrain_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    monkeypatch.setattr("copgen.training.precision.has_bfloat16", lambda _: has)
    settings = pretrain_settings(pretrain_pairs, updates=1)
    for precision, warned in (("bfloat16", not has), ("float32", False)):
        recorder = Recorder()
        pretrain(settings.replaced(precision=precision), out=tmp_path / precision, events=recorder)
        assert ["--precision float32" in text for text in recorder.warnings] == [True] * warned


@pytest.mark.parametrize(("method", "chunk"), [("byol", 5), ("byol", 1), ("nnclr", 3)])
def test_chunks_that_leave_one_sample_are_refused_where_heads_have_batch_norms(
    pretrain_pairs: Path, tmp_path: Path, method: str, chunk: int
) -> None:
    with pytest.raises(UsageError, match=f"Chunks of {chunk} of a batch of {K}"):
        pretrain(pretrain_settings(pretrain_pairs, **KINDS[method] | {"chunk": chunk}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
