"""`copgen eval detect`: what a run writes, that it resumes, where it starts, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen.data.voc import open_voc
from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.evaluation.detection.boxes import Detections
from copgen.evaluation.detection.detector import FILE_NAME, load_detector
from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.events import Silent
from copgen.stages.eval import detect as stage
from copgen.stages.eval import detections
from copgen.stages.eval.detect import eval_detect
from copgen.stages.eval.detections_sheet import boxes_of
from copgen.stages.eval.settings.detect import STEPS, EvalDetectSettings
from copgen.storage.tensors import load_tensors
from copgen.training.metrics import read_metrics
from copgen.training.schedules import Steps
from tests.data import shapes

SMALL: dict[str, Any] = {
    "classes": shapes.CLASSES,
    "updates": 4,
    "batch": 2,
    "sides": (32,),
    "test_side": 32,
    "max_side": 48,
    "anchors": (12, 20),
    "anchors_per_image": 16,
    "regions_per_image": 4,
    "statistics": 2,
    "checkpoint_every": 2,
    "device": "cpu",
    "workers": 1,
}
Made = tuple[Path, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An encoder of RGB, and a year of VOC."""
    folder = tmp_path_factory.mktemp("made")
    encoder(folder / "run" / "encoder.safetensors")
    return folder / "run", shapes.year(folder / "VOC2007", trainval=6, test=3, side=48)


def encoder(path: Path, channels: int = 3) -> Path:
    config = EncoderConfig(
        arch="digits", in_channels=channels, image_size=48, views="simclr" if channels == 3 else "none"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_encoder(path, build("digits", channels), config, {"stage": "a test"})
    return path


def settings(made: Made, **changes: Any) -> EvalDetectSettings:
    return EvalDetectSettings(**{"ckpt": made[0], "dataset": made[1], **SMALL, **changes})


class Signalling(Silent):
    """Sends SIGTERM once that much is done under a title."""

    def __init__(self, title: str, done: int) -> None:
        self.title, self.done, self.current = title, done, ""

    def begin(self, title: str, **_: Any) -> None:
        self.current = title

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        if self.current == self.title and done == self.done:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def finished(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that nothing stopped, and what it returned."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return out, eval_detect(settings(made), out=out)


def test_a_run_writes_both_metrics_and_the_detector(made: Made, finished: tuple[Path, dict[str, Any]]) -> None:
    out, results = finished
    assert json.loads((out / "results.json").read_text()) == results
    assert (results["kind"], results["seed"]) == ("eval-detect", 0)
    assert results["dataset"]["sets"] == {"train": ["VOC2007 trainval"], "test": ["VOC2007 test"]}
    assert results["dataset"]["images"] == {"train": 6, "test": 3}
    assert results["encoder"]["provenance"]["encoder"] == results["inputs"]["encoder"]
    assert results["protocol"]["updates"] == 4
    for metric in ("voc07", "coco"):
        assert results[metric].keys() == {"metric", "ap", "ap50", "ap75", "per_class"}
        assert results[metric]["per_class"].keys() == set(shapes.CLASSES)
    with Image.open(out / "detections.png") as picture:
        colours = {tuple(pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    assert (0, 128, 0) in colours  # an object
    assert load_detector(out / FILE_NAME).config.classes == shapes.CLASSES
    lines = read_metrics(out / "metrics.jsonl")
    assert [line["update"] for line in lines] == [1, 2, 3, 4]
    assert {"loss", "loss_objectness", "loss_proposal", "loss_class", "loss_box", "data_wait"} <= lines[0].keys()


def test_the_picture_has_objects_and_the_detections_that_count(made: Made) -> None:
    source = open_voc([made[1]], "test", classes=shapes.CLASSES)
    box = np.array([[1, 2, 9, 9], [3, 3, 8, 8], [0, 0, 5, 5], [1, 1, 2, 2]], np.float32)
    score = np.array([0.4, 0.9, 0.6, 0.2], np.float32)
    found = Detections(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0]), box, score)
    words = [[one.text for one in boxes_of(source, found, image) if one.colour == "red"] for image in range(3)]
    assert words == [["triangle 0.60", "square 0.90"], ["circle 0.20"], []]  # one is the best of its image
    objects = [one.corners for one in boxes_of(source, found, 0) if one.colour != "red"]
    assert objects == [tuple(corners) for corners in source.objects_of(0).box.tolist()]


def test_a_finished_run_is_not_run_again(made: Made, finished: tuple[Path, dict[str, Any]]) -> None:
    out, results = finished
    before = (out / FILE_NAME).stat().st_mtime_ns
    assert eval_detect(settings(made, workers=2), out=out) == results
    assert (out / FILE_NAME).stat().st_mtime_ns == before


@pytest.mark.parametrize(("title", "done", "files"), [("eval detect", 6, 0), ("eval detect: test", 1, 1)])
def test_a_stopped_run_resumes_to_the_same_detector(
    made: Made,
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    title: str,
    done: int,
    files: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detections, "IMAGES", 1)
    out = tmp_path / "run"
    with pytest.raises(Stopped) as caught:
        eval_detect(settings(made), out=out, events=Signalling(title, done))
    assert caught.value.code == ExitCode.STOPPED
    kept = sorted((out / "detections").glob("images-*"))
    assert len(kept) == files
    times = [path.stat().st_mtime_ns for path in kept]
    results = eval_detect(settings(made), out=out)
    assert [path.stat().st_mtime_ns for path in kept] == times
    whole = finished[0]
    assert results == finished[1]
    ours, theirs = (load_tensors(folder / FILE_NAME, kind="detector")[0] for folder in (out, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_detections_of_other_weights_are_not_used(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detections, "IMAGES", 1)
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        eval_detect(settings(made), out=out, events=Signalling("eval detect: test", 1))
    for path in (out / "checkpoints").glob("update-00000004*"):
        path.unlink()  # so the last two updates are trained again
    with pytest.raises(Stopped):
        eval_detect(settings(made), out=out, events=Signalling("eval detect", 6))
    assert not (out / "detections").exists()


def test_other_settings_or_data_are_refused_and_overwrite_starts_from_scratch(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Stopped):
        eval_detect(settings(made), out=out, events=Signalling("eval detect", 4))
    with pytest.raises(UsageError, match=r"lr: 0\.005 -> 0\.01"):
        eval_detect(settings(made, lr=0.01), out=out)
    other = encoder(tmp_path / "other" / "encoder.safetensors")
    backbone = build("digits", 3)
    save_encoder(other, backbone, EncoderConfig(arch="digits", in_channels=3, image_size=48, views="simclr"), {})
    with pytest.raises(UsageError, match="ckpt"):
        eval_detect(settings((other, made[1])), out=out)
    with pytest.raises(Stopped):
        eval_detect(settings(made, lr=0.01), out=out, overwrite=True, events=Signalling("eval detect", 4))


@pytest.mark.parametrize("backbone", ["c4", "fpn"])
def test_training_starts_from_the_encoder_also_of_another_program(made: Made, tmp_path: Path, backbone: Any) -> None:
    weights = build("resnet18").state_dict()
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "resnet18.pth")
    asked = settings((tmp_path / "resnet18.pth", made[1]), backbone=backbone, anchors=(8, 16, 32, 64, 128))
    with stage.new_run(asked, tmp_path / "run", device="cpu") as run:
        opened = stage.open_inputs(asked, Silent())
        started = stage.build(asked, opened, run).state_dict()
    body = "backbone.body" if backbone == "fpn" else "backbone"
    last = f"{body}.layer4" if backbone == "fpn" else "roi_heads.box_head.stage"
    for name, value in weights.items():
        place = name.replace("layer4", last) if name.startswith("layer4") else f"{body}.{name}"
        assert torch.equal(started[place], value), name


def test_everything_is_trained_and_batch_norms_are_not_decayed(made: Made, tmp_path: Path) -> None:
    asked = settings(made)
    with stage.new_run(asked, tmp_path / "run", device="cpu") as run:
        detector = stage.build(asked, stage.open_inputs(asked, Silent()), run)
        optimizer = stage.build_optimizer(detector, lr=0.1, weight_decay=1e-4)
    decayed, free = (group["params"] for group in optimizer.param_groups)
    assert len(decayed) + len(free) == len([*detector.parameters()])
    assert all(parameter.requires_grad and parameter.ndim == 1 for parameter in free)
    assert any(parameter.ndim == 1 for parameter in decayed)  # biases


@pytest.mark.parametrize(
    ("schedule", "updates", "batch", "lr", "warmup", "max_side"),
    [("authors", 96_000, 4, 0.005, 400, 1024), ("moco", 24_000, 16, 0.02, 100, 1333)],
)
def test_the_schedules(schedule: Any, updates: int, batch: int, lr: float, warmup: int, max_side: int) -> None:
    found = EvalDetectSettings(schedule=schedule)
    assert (found.updates, found.batch, found.lr, found.warmup, found.max_side) == (
        updates,
        batch,
        lr,
        warmup,
        max_side,
    )
    assert (found.backbone, found.regions_per_image, found.anchors_per_image, found.statistics) == ("c4", 512, 256, 200)
    assert (found.sides[0], found.sides[-1], len(found.sides), found.test_side) == (480, 800, 11, 800)
    own = EvalDetectSettings(schedule=schedule, updates=2_400, lr=0.01)
    assert (own.updates, own.lr, own.batch, own.warmup) == (2_400, 0.01, batch, 10)


def test_the_learning_rate_of_the_authors() -> None:
    rate = Steps(0.005, tuple(round(part * 96_000) for part in STEPS), 400)
    assert rate.steps == (72_000, 88_000)
    expected = {0: 5e-6, 200: 0.0025025, 400: 0.005, 71_999: 0.005, 72_000: 5e-4, 88_000: 5e-5, 95_999: 5e-5}
    assert {update: pytest.approx(rate(update)) for update in expected} == expected


def test_an_encoder_of_grey_images_needs_a_conversion(made: Made, tmp_path: Path) -> None:
    grey = encoder(tmp_path / "grey" / "encoder.safetensors", channels=1)
    with pytest.raises(UsageError, match="1 channels") as caught:
        eval_detect(settings((grey, made[1])), out=tmp_path / "run")
    assert "--convert-channels" in caught.value.fix
    asked = settings((grey, made[1]), convert_channels=True)
    with stage.new_run(asked, tmp_path / "run", device="cpu") as run:
        opened = stage.open_inputs(asked, Silent())
        assert stage.build_loader(asked, opened, run)[0].images.shape[1] == 1


def test_bad_data_and_settings_are_refused_before_anything_is_written(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(DataError, match=r"object 1 has the class '\w+'.*20 classes"):
        eval_detect(settings(made, classes=None), out=out)
    with pytest.raises(DataError, match=r"encoder\.safetensors"):
        eval_detect(settings((tmp_path, made[1])), out=out)
    with pytest.raises(DataError, match="no VOC"):
        eval_detect(settings((made[0], tmp_path)), out=out)
    with pytest.raises(UsageError, match="anchors has 2 sizes"):
        eval_detect(settings(made, backbone="fpn"), out=out)
    assert not out.exists()


def test_the_estimate_times_each_update_and_leaves_nothing(
    made: Made, temporary: Path, updates_per_read: set[int]
) -> None:
    found = stage.estimate(settings(made, updates=1000))
    assert updates_per_read == {1}
    assert found["seconds"] > 0
    assert list(temporary.iterdir()) == []


def test_a_missing_package_is_named_before_anything_is_read(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(EnvironmentFault, match="faster-coco-eval") as caught:
        eval_detect(settings((made[0], tmp_path / "none")), out=tmp_path / "run")
    assert "pip install 'copgen[eval]'" in caught.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_short_run_finds_the_shapes(tmp_path: Path) -> None:
    """About a minute of one core."""
    run = encoder(tmp_path / "run" / "encoder.safetensors").parent
    voc = shapes.year(tmp_path / "VOC2007", trainval=200, test=30)
    longer = {"updates": 160, "batch": 4, "lr": 0.04, "warmup": 20, "statistics": 20, "checkpoint_every": 80}
    sizes = {"sides": (48,), "test_side": 48, "max_side": 64, "anchors_per_image": 64, "regions_per_image": 32}
    results = eval_detect(settings((run, voc), **longer, **sizes), out=tmp_path / "detector")
    assert results["voc07"]["ap50"] >= 0.5
    assert results["coco"]["ap50"] >= 0.5
