"""`eval transfer`: several datasets in, a score of each and their mean out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.evaluation import multi_label
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.eval import transfer, voc07
from copgen.stages.eval.finished_parts import FILE_NAME
from copgen.stages.eval.linear import eval_linear
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.settings.transfer import EvalTransferSettings
from copgen.stages.eval.transfer import eval_transfer
from tests.stages.eval import drawn, voc
from tests.stages.small import Recorder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder, photos of three classes, and a small VOC."""
    folder = tmp_path_factory.mktemp("transfer")
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    encoders.save_encoder(folder / "run", encoders.build("digits", 3), config, {})
    drawn.photos(folder / "photos")
    voc.devkit(folder / "VOCdevkit")
    return folder


def settings(world: Path, *datasets: str, **changes: object) -> EvalTransferSettings:
    paths = tuple(name if name == "digits" else str(world / name) for name in datasets)
    fields = {"ckpt": world / "run", "device": "cpu", "datasets": paths, "convert_channels": True, "workers": 2}
    return EvalTransferSettings.model_validate({**fields, **changes})


@pytest.mark.parametrize("probe", ["linear", "svm"])
def test_each_dataset_has_its_score_and_there_is_a_mean(probe: str, world: Path, tmp_path: Path) -> None:
    asked = settings(world, "photos", "VOCdevkit", probe=probe, c_grid=(0.1,))
    result = eval_transfer(asked, out=tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(result))
    photos, found = result["datasets"].values()
    assert (photos["metric"], photos["score"]) == ("Top-1", photos["top1"])
    assert photos["top1"] > 0.9  # the colour of the bar is the class
    assert photos["mean_per_class"] == pytest.approx(sum(photos["per_class"].values()) / 3)
    assert found["score"] == found["map"] == pytest.approx(sum(found["per_class"].values()) / 3)
    assert found["map"] > 0.9
    assert (found["classes"], found["fitted_on"], found["tested_on"]) == (3, 45, 24)
    assert result["mean"] == pytest.approx((photos["score"] + found["score"]) / 2)
    assert not (tmp_path / FILE_NAME).exists()
    eval_transfer(asked, out=tmp_path / "again")
    assert (tmp_path / "again/results.json").read_bytes() == (tmp_path / "results.json").read_bytes()


def test_a_linear_probe_is_that_of_the_linear_evaluation(world: Path, tmp_path: Path) -> None:
    grid = (1e-2, 1.0)
    one = eval_transfer(settings(world, "photos", c_grid=grid), out=tmp_path / "a")
    linear = eval_linear(
        EvalLinearSettings(
            ckpt=world / "run", device="cpu", dataset=str(world / "photos"), c_grid=grid, labels_per_class=()
        ),
        out=tmp_path / "b",
    )
    found = next(iter(one["datasets"].values()))
    assert (found["top1"], found["C"], found["confusion"]) == (
        linear["top1"],
        linear["linear"]["C"],
        linear["confusion"],
    )


def test_what_another_device_has_done_is_not_resumed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[dict[str, Any]] = []

    def stopped(folder: Path, decides: dict[str, Any], events: object) -> None:
        decided.append(decides)
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "FinishedParts", stopped)
    with pytest.raises(KeyboardInterrupt):
        eval_transfer(settings(world, "photos"), out=tmp_path)
    assert decided[0]["device"] == "cpu"  # `results.json` names one device


def test_the_classes_that_are_done_are_not_fitted_again(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []

    def failing(*parts: Any, name: str, **how: Any) -> multi_label.ClassProbe:
        fitted.append(name)
        if name == "owl" and fitted.count("owl") == 1:
            raise KeyboardInterrupt
        return multi_label.class_probe(*parts, name=name, **how)

    monkeypatch.setattr(voc07, "class_probe", failing)
    asked = settings(world, "photos", "VOCdevkit", c_grid=(1.0,), workers=1)
    with pytest.raises(KeyboardInterrupt):
        eval_transfer(asked, out=tmp_path)
    assert not (tmp_path / "results.json").exists()
    told = Recorder()
    resumed = eval_transfer(asked, out=tmp_path, events=told)
    assert fitted == ["cat", "dog", "owl", "owl"]
    assert any(FILE_NAME in sentence for sentence in told.sentences)
    monkeypatch.undo()
    assert resumed == eval_transfer(asked, out=tmp_path / "straight")
    (tmp_path / FILE_NAME).write_text("[1]")  # damaged: all is fitted again
    assert resumed == eval_transfer(asked, out=tmp_path)


def test_another_setting_does_not_resume(world: Path, tmp_path: Path) -> None:
    eval_transfer(settings(world, "photos", c_grid=(1.0,)), out=tmp_path)
    (tmp_path / FILE_NAME).write_text('{"key": "of something else", "done": {"photos": {}}}')
    assert eval_transfer(settings(world, "photos", c_grid=(1.0,)), out=tmp_path)["mean"] > 0.5


def test_what_does_not_fit_is_refused(world: Path, tmp_path: Path) -> None:
    for wrong in (("photos", "photos"), ()):
        with pytest.raises(ValidationError, match="datasets"):
            settings(world, *wrong)
    with pytest.raises(UsageError, match="--convert-channels"):
        eval_transfer(settings(world, "photos", "digits", convert_channels=False), out=tmp_path)
    with pytest.raises(DataError, match="VOC"):
        eval_transfer(settings(world, "photos").replaced(datasets=("voc07",), data_root=tmp_path), out=tmp_path)
    kit = voc.devkit(tmp_path / "kit", trainval=6, test=4) / "VOC2007/ImageSets/Main"
    (kit / "owl_test.txt").unlink()
    with pytest.raises(DataError, match="owl"):
        eval_transfer(settings(world, "photos").replaced(datasets=(str(tmp_path / "kit"),)), out=tmp_path)
