"""A finished evaluation that is run again returns its result; with other settings, encoder or data it is computed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.stages.eval import generator
from copgen.stages.eval.alignment import eval_alignment
from copgen.stages.eval.few_shot import eval_few_shot
from copgen.stages.eval.generator import eval_generator
from copgen.stages.eval.knn import eval_knn
from copgen.stages.eval.linear import eval_linear
from copgen.stages.eval.pairs import eval_pairs
from copgen.stages.eval.settings.alignment import EvalAlignmentSettings
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.stages.eval.settings.generator import EvalGeneratorSettings
from copgen.stages.eval.settings.knn import EvalKnnSettings
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.settings.pairs import EvalPairsSettings
from copgen.stages.eval.settings.transfer import EvalTransferSettings
from copgen.stages.eval.transfer import eval_transfer
from tests.stages.eval import drawn
from tests.stages.eval.made_pairs import slightly, write
from tests.stages.eval.test_generator import opened
from tests.stages.small import Recorder

Evaluate = Callable[..., dict[str, Any]]
COMMANDS: dict[str, tuple[Evaluate, type[Any]]] = {
    "linear": (eval_linear, EvalLinearSettings),
    "knn": (eval_knn, EvalKnnSettings),
    "few-shot": (eval_few_shot, EvalFewShotSettings),
    "transfer": (eval_transfer, EvalTransferSettings),
    "alignment": (eval_alignment, EvalAlignmentSettings),
    "generator": (eval_generator, EvalGeneratorSettings),
    "pairs": (eval_pairs, EvalPairsSettings),
}


def save(folder: Path, seed: int) -> None:
    """An untrained encoder."""
    torch.manual_seed(seed)
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    encoders.save_encoder(folder, encoders.build("digits", 3), config, {})


@pytest.fixture
def world(tmp_path: Path, flow: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder, photos, pairs, and the weights of a small generator."""
    monkeypatch.setattr(generator, "open_space", opened)
    save(tmp_path / "run", 0)
    drawn.photos(tmp_path / "photos")
    write(tmp_path / "pairs", slightly, count=20)
    return tmp_path


def fields(kind: str, world: Path, flow: Path) -> dict[str, Any]:
    photos = str(world / "photos")
    of_encoder = {"ckpt": world / "run", "device": "cpu", "cache": False}
    return {
        "linear": {**of_encoder, "dataset": photos, "c_grid": (0.1,), "labels_per_class": ()},
        "knn": {**of_encoder, "dataset": photos, "ks": (1,)},
        "few-shot": {**of_encoder, "dataset": photos, "labels": (1,), "draws": 2, "c_grid": (0.1,)},
        "transfer": {**of_encoder, "datasets": (photos,), "c_grid": (0.1,)},
        "alignment": {"ckpt": world / "run", "device": "cpu", "dataset": photos, "split": "train", "loss_batch": 16},
        "generator": {
            "generator": "digits",
            "weights": flow,
            "space": ("pixels",),
            "n": 40,
            "real_n": 60,
            "device": "cpu",
        },
        "pairs": {"pairs": world / "pairs", "n": 20, "rows": 1, "classifier": "none", "device": "cpu"},
    }[kind]


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_result_is_returned(kind: str, world: Path, flow: Path) -> None:
    evaluate, model = COMMANDS[kind]
    given, out = fields(kind, world, flow), world / "out"
    settings, others = (model.model_validate({**given, **change}) for change in ({}, {"seed": 1}))
    file, first, again = out / "results.json", Recorder(), Recorder()
    result = evaluate(settings, out=out, events=first)
    written = file.stat().st_mtime_ns
    assert not any("--overwrite" in line for line in first.sentences)

    # The same, also with what decides nothing.
    known = evaluate(model.model_validate({**given, "workers": 1}), out=out, events=again)
    assert known == json.loads(json.dumps(result)) == json.loads(file.read_text())
    assert file.stat().st_mtime_ns == written
    (told,) = [line for line in again.sentences if "--overwrite" in line]
    assert str(file) in told
    assert not again.tasks

    # Something else, or the same on demand.
    for changed, overwrite in ((settings, True), (others, False)):
        assert evaluate(changed, out=out, overwrite=overwrite) != {}
        assert file.stat().st_mtime_ns > written
        written = file.stat().st_mtime_ns


@pytest.mark.parametrize("kind", ["linear", "knn", "few-shot", "transfer", "alignment"])
def test_another_encoder_is_evaluated(kind: str, world: Path, flow: Path) -> None:
    evaluate, model = COMMANDS[kind]
    settings, out = model.model_validate(fields(kind, world, flow)), world / "out"
    before = evaluate(settings, out=out)
    save(world / "run", 1)
    assert evaluate(settings, out=out)["encoder"]["sha256"] != before["encoder"]["sha256"]


@pytest.mark.parametrize("kind", ["linear", "knn", "few-shot", "transfer"])
def test_another_normalisation_is_another_evaluation(kind: str, world: Path, flow: Path) -> None:
    evaluate, model = COMMANDS[kind]
    file, out = world / "foreign.pth", world / "out"
    torch.save(encoders.build("resnet18", 3).state_dict(), file)  # says nothing of its normalisation
    given = {**fields(kind, world, flow), "ckpt": file, "cache": True, "size": 16}
    for number, views in enumerate(("simclr", "none"), start=1):
        result = evaluate(model.model_validate({**given, "views": views}), out=out)
        assert result["encoder"]["config"]["views"] == views
        extracted = {path.name for path in out.rglob("features/*.safetensors")}
        assert len({name.partition("-")[0] for name in extracted}) * number == len(extracted)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_results_are_replaced(text: str, world: Path, flow: Path) -> None:
    settings = EvalKnnSettings.model_validate(fields("knn", world, flow))
    result = eval_knn(settings, out=world)
    (world / "results.json").write_text(text)
    assert eval_knn(settings, out=world) == result


def test_other_data_are_evaluated(world: Path, flow: Path) -> None:
    settings = EvalKnnSettings.model_validate(fields("knn", world, flow))
    before = eval_knn(settings, out=world)
    next((world / "photos/train").rglob("*.png")).unlink()
    removed = eval_knn(settings, out=world)
    assert removed["dataset"]["images"] != before["dataset"]["images"]


def test_other_validation_images_are_evaluated(world: Path, flow: Path) -> None:
    settings = EvalKnnSettings.model_validate(fields("knn", world, flow))
    shutil.copytree(world / "photos/val", world / "photos/test")
    before = eval_knn(settings, out=world)
    one, other = sorted((world / "photos/val").rglob("*.png"))[:2]
    shutil.copy(one, other)
    after = eval_knn(settings, out=world)
    assert {name for name, value in before["inputs"].items() if after["inputs"][name] != value} == {"validation images"}


def test_pairs_without_their_picture_are_measured_again(world: Path, flow: Path) -> None:
    settings = EvalPairsSettings.model_validate(fields("pairs", world, flow))
    eval_pairs(settings, out=world / "out")
    (world / "out/pairs.png").unlink()
    eval_pairs(settings, out=world / "out")
    assert (world / "out/pairs.png").is_file()
