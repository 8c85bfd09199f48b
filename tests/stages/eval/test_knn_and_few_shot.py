"""`eval knn` and `eval few-shot`: an encoder's file in, results.json out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.evaluation.few_labels import interval
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.stages.eval.few_shot import eval_few_shot
from copgen.stages.eval.knn import eval_knn
from copgen.stages.eval.linear import eval_linear
from copgen.stages.eval.settings.common import EvalSettings
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen.stages.eval.settings.knn import EvalKnnSettings
from tests.stages.eval import drawn
from tests.stages.eval.test_linear import CONFIG, quick


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    torch.manual_seed(0)
    encoders.save_encoder(folder, encoders.build("digits", 1), CONFIG, {"stage": "a test"})
    return folder


def test_neighbours_of_digits(ckpt: Path) -> None:
    result = eval_knn(EvalKnnSettings(ckpt=ckpt, device="cpu", ks=(20, 1, 5000)))
    assert json.loads((ckpt / "eval/knn/results.json").read_text()) == json.loads(json.dumps(result))
    assert list(result["knn"]) == ["1", "20", "5000"]
    assert (result["bank"], result["tested_on"], result["kind"]) == (1429, 368, "eval-knn")
    best = max(one["validation_top1"] for one in result["knn"].values())
    assert result["knn"][str(result["k"])]["validation_top1"] == best
    assert result["top1"] == result["knn"][str(result["k"])]["top1"]
    one = result["knn"]["1"]
    assert one["top5"] == one["top1"]  # a single neighbour votes for a single class
    linear = eval_linear(quick(ckpt, labels_per_class=()))
    assert one["top1"] == pytest.approx(linear["nearest_neighbour"]["top1"], abs=1 / 368)


def test_few_labels_are_those_of_the_linear_evaluation_with_an_interval(ckpt: Path, tmp_path: Path) -> None:
    grid = {"c_grid": (1e-2, 1.0)}
    settings = EvalFewShotSettings.model_validate(
        {"ckpt": ckpt, "device": "cpu", "labels": (1, 10), "draws": 3, **grid}
    )
    result = eval_few_shot(settings)
    linear = eval_linear(quick(ckpt), out=tmp_path)
    for labels, few in result["few_shot"].items():
        own = {name: few[name] for name in linear["few_labels"][labels]}
        assert own == linear["few_labels"][labels]
        assert few["interval95"] == interval([draw["top1"] for draw in few["draws"]])
    eval_few_shot(settings, out=tmp_path / "again")
    assert (tmp_path / "again/results.json").read_bytes() == (ckpt / "eval/few-shot/results.json").read_bytes()


@pytest.mark.parametrize("model", [EvalFewShotSettings, EvalFinetuneSettings])
def test_an_interval_needs_two_draws(model: type[EvalSettings]) -> None:
    with pytest.raises(UsageError, match="draws = 1") as caught:
        resolve(model, "eval", flags={"draws": 1})
    assert "--draws 2" in str(caught.value)


def test_shares_of_the_labels(ckpt: Path, tmp_path: Path) -> None:
    settings = EvalFewShotSettings(ckpt=ckpt, device="cpu", percent=(1, 10), draws=2, c_grid=(0.1,))
    few = eval_few_shot(settings, out=tmp_path)["few_shot"]
    assert list(few) == ["1%", "10%"]
    assert (few["1%"]["fitted_on"], few["10%"]["fitted_on"]) == (10, 126)  # of 1,248, rounded in each class
    assert few["1%"]["top1_mean"] < few["10%"]["top1_mean"]


def test_too_many_labels_are_refused(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="500 labels per class"):
        eval_few_shot(EvalFewShotSettings(ckpt=ckpt, device="cpu", labels=(500,)), out=tmp_path)


def test_features_on_disk_are_not_changed_by_the_neighbours(tmp_path: Path) -> None:
    """They are normalised in place, in memory."""
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    encoders.save_encoder(tmp_path / "run", encoders.build("digits", 3), config, {})
    photos = drawn.photos(tmp_path / "photos")
    settings = EvalKnnSettings(ckpt=tmp_path / "run", device="cpu", dataset=str(photos), ks=(1,))
    first = eval_knn(settings)
    kept = {path: path.read_bytes() for path in (tmp_path / "run/eval/features").iterdir()}
    assert len(kept) == 3
    assert eval_knn(settings, overwrite=True) == first
    assert kept == {path: path.read_bytes() for path in kept}
