"""Pretraining on every kind of source: files read while training, image folders, shards, MNIST."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from copgen.data import pairs as data_pairs
from copgen.pairs import layout
from copgen.pairs.background_hashes import BackgroundHashes
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.runtime.events import Events
from copgen.stages.pretrain.stage import pretrain
from tests.data import made
from tests.stages.pretraining import ARTEFACT, pretrain_settings
from tests.stages.small import Recorder

SHORT = {"pairs": None, "updates": 2, "batch": 4}


def test_pairs_read_as_files_give_the_encoder_of_those_in_memory(
    pretrain_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pretrain_settings(pretrain_pairs, updates=7)
    pretrain(settings, out=tmp_path / "memory")
    monkeypatch.setattr(data_pairs, "MOST_IMAGES", 0)
    pretrain(settings, out=tmp_path / "files")
    assert (tmp_path / "memory" / ARTEFACT).read_bytes() == (tmp_path / "files" / ARTEFACT).read_bytes()


def test_a_shard_that_was_modified_ends_the_run_by_name(
    pretrain_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pairs"
    shutil.copytree(pretrain_pairs, folder)
    path = layout.tar_path(folder, 1)
    data = bytearray(path.read_bytes())
    data[-20_000:] = data[-20_000:].replace(b'"', b"'")  # metadata, which training does not read
    path.write_bytes(data)
    monkeypatch.setattr(data_pairs, "MOST_IMAGES", 0)
    with pytest.raises(DataError, match="shard-000001"):
        pretrain(pretrain_settings(folder, updates=400, skip_bad=10), out=tmp_path / "run")
    assert not (tmp_path / "run" / ARTEFACT).exists()


def test_shards_that_were_not_hashed_are_told_by_the_run_that_read_them(
    pretrain_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_pairs, "MOST_IMAGES", 0)
    monkeypatch.setattr(BackgroundHashes, "_run", lambda self: None)
    told = []
    for _ in range(2):  # the second finds it finished, and reads nothing
        recorder = Recorder()
        pretrain(pretrain_settings(pretrain_pairs, updates=2), out=tmp_path / "run", events=recorder)
        told.append([warning for warning in recorder.warnings if "copgen verify" in warning])
    assert [len(warnings) for warnings in told] == [1, 0]


@pytest.mark.parametrize("kind", ["folder", "shards", "mnist"])
def test_real_images(tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    if kind == "folder":
        made.class_folders(data, count=6)
    elif kind == "shards":
        made.tar(data / "train.tar", {f"{k}.png": made.image(k) for k in range(12)})
    else:
        made.mnist(data)
    summary = pretrain(pretrain_settings(tmp_path, dataset=str(data), size=16, **SHORT), out=tmp_path / "run")
    count = {"folder": 10, "shards": 11, "mnist": 40}[kind]
    assert summary["pairs"] == count
    assert (tmp_path / "run" / ARTEFACT).exists()


def test_the_validation_images_can_be_trained_on_too(tmp_path: Path) -> None:
    made.class_folders(tmp_path / "data", count=6)
    settings = pretrain_settings(tmp_path, dataset=str(tmp_path / "data"), split="train+validation", size=16, **SHORT)
    assert pretrain(settings, out=tmp_path / "run")["pairs"] == 12


def test_classes_for_supcon(tmp_path: Path) -> None:
    made.class_folders(tmp_path / "classes", count=6)
    made.files(tmp_path / "flat", {f"{k}.png": made.image(k) for k in range(12)})
    how = {"method": "supcon", "size": 16, **SHORT}
    pretrain(pretrain_settings(tmp_path, dataset=str(tmp_path / "classes"), **how), out=tmp_path / "run")
    with pytest.raises(UsageError, match="supcon"):
        pretrain(pretrain_settings(tmp_path, dataset=str(tmp_path / "flat"), **how), out=tmp_path / "none")


def test_a_run_that_tolerates_an_unreadable_image_is_monitored_too(tmp_path: Path) -> None:
    images = {f"{k:02}.png": made.image(k) for k in range(12)}
    made.files(tmp_path / "data", {**images, "03.png": b"text"})
    settings = pretrain_settings(tmp_path, dataset=str(tmp_path / "data"), size=16, skip_bad=1, **SHORT)
    pretrain(settings.replaced(monitor_every=4), out=tmp_path / "run")
    with pytest.raises(DataError, match=r"03\.png"):
        pretrain(settings.replaced(skip_bad=0, updates=4), out=tmp_path / "none")


def test_the_download_of_a_dataset_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, *_: object, events: Events | None = None) -> None:
        assert events is not None
        events.say(f"Downloading {name}")
        raise EnvironmentFault("offline")

    monkeypatch.setattr("copgen.data.datasets.fetch", fetch)
    settings, recorder = pretrain_settings(tmp_path, dataset="mnist", data_root=tmp_path, **SHORT), Recorder()
    with pytest.raises(EnvironmentFault, match="offline"):
        pretrain(settings, out=tmp_path / "run", events=recorder)
    assert recorder.sentences == ["Downloading mnist"]
