"""`eval alignment`: pairs or images in, the geometry of features and projections out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from copgen import encoders
from copgen.data.pairs import GeneratedPairs, open_generated
from copgen.encoders import EncoderConfig
from copgen.evaluation.geometry import alignment
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.eval.alignment import eval_alignment
from copgen.stages.eval.settings.alignment import EvalAlignmentSettings
from copgen.stages.pretrain.stage import pretrain
from copgen.training.checkpoints import Checkpoints
from tests.stages.eval import drawn
from tests.stages.pretraining import PAIRS, pretrain_settings
from tests.stages.small import Recorder, files


def settings(ckpt: Path, **changes: object) -> EvalAlignmentSettings:
    fields = {"ckpt": ckpt, "device": "cpu", "loss_batch": 16, "temperature": 0.5}
    return EvalAlignmentSettings.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def run(straight_pretrain: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run of pretraining, with its checkpoints."""
    folder = tmp_path_factory.mktemp("alignment") / "run"
    shutil.copytree(straight_pretrain("sgd"), folder)
    return folder


def images_of(pairs: Path) -> list[Tensor]:
    """The anchors and the positives (N, C, H, W)."""
    source = open_generated(pairs, seed=0)
    assert isinstance(source, GeneratedPairs)
    items = torch.arange(len(source))
    return [source.batch(items, torch.full_like(items, column), torch.device("cpu")) for column in range(2)]


def test_pairs_are_measured_as_they_lie_in_the_folder(run: Path, pretrain_pairs: Path, tmp_path: Path) -> None:
    before = files(run)
    result = eval_alignment(settings(run, pairs=pretrain_pairs, batch=7), out=tmp_path)
    assert files(run) == before
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(result))
    assert result["kind"] == "eval-alignment"
    assert (result["data"]["measured"], result["data"]["of"], result["data"]["views"]) == (PAIRS, PAIRS, "none")

    x, x_pos = images_of(pretrain_pairs)  # the order does not matter
    encoder = encoders.load(run)
    assert result["features"]["alignment"] == pytest.approx(alignment(encoder(x), encoder(x_pos)), rel=1e-5)
    assert result["features"]["dim"] == encoder.feature_dim
    projections = result["projections"]
    assert (projections["dim"], projections["chance"]) == (8, result["features"]["chance"])
    assert projections["share_of_chance"] == pytest.approx(projections["info_nce"] / projections["chance"])
    eval_alignment(settings(run, pairs=pretrain_pairs, batch=80), out=tmp_path / "again")
    again = json.loads((tmp_path / "again/results.json").read_text())
    assert again["features"] == pytest.approx(result["features"], rel=1e-5)  # the encoder's batch decides nothing


def test_the_projector_is_that_of_the_last_checkpoint(run: Path, pretrain_pairs: Path, tmp_path: Path) -> None:
    result = eval_alignment(settings(run, pairs=pretrain_pairs, untrained=False), out=tmp_path)
    assert result["projector"] == "update 8"
    assert "untrained_features" not in result
    _, saved = Checkpoints(run / "checkpoints").last()
    weights = {name[2:]: value for name, value in saved["state"]["encoder"].items() if name.startswith("1.")}
    projector = encoders.Projector(encoders.load(run).feature_dim, 16, 8)
    projector.load_state_dict(weights)
    h = [projector(encoders.load(run)(images)).detach() for images in images_of(pretrain_pairs)]
    assert result["projections"]["alignment"] == pytest.approx(alignment(*h), rel=1e-5)


@pytest.mark.parametrize("why", ["no checkpoint", "other weights", "alone"])
def test_without_its_projector_the_features_are_measured(why: str, run: Path, tmp_path: Path) -> None:
    ckpt = tmp_path / "run"
    shutil.copytree(run, ckpt)
    if why == "no checkpoint":
        shutil.rmtree(ckpt / "checkpoints")
    elif why == "other weights":
        torch.manual_seed(1)
        config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
        encoders.save_encoder(ckpt, encoders.build("digits", 1), config, {})
    else:
        (ckpt / "config.toml").unlink()
    told = Recorder()
    result = eval_alignment(settings(ckpt), events=told)
    assert "projections" not in result
    assert any("Projections" in sentence for sentence in told.sentences)
    assert result["data"]["split"] == "test"  # digits, two views each
    assert result["data"]["measured"] == 368 // 16 * 16
    assert result["features"]["share_of_chance"] > 0
    assert (ckpt / "eval/alignment/results.json").is_file()


def test_photos_have_two_crops_each_and_results_are_the_same_to_the_byte(tmp_path: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    encoders.save_encoder(tmp_path / "run", encoders.build("digits", 3), config, {})
    photos = drawn.photos(tmp_path / "photos")
    asked = settings(tmp_path / "run", dataset=str(photos), loss_batch=6)
    for name in ("a", "b"):
        assert eval_alignment(asked, out=tmp_path / name)["features"]["alignment"] > 0
    assert (tmp_path / "a/results.json").read_bytes() == (tmp_path / "b/results.json").read_bytes()
    grey = EncoderConfig(arch="digits", in_channels=1, image_size=16, views="mnist")
    encoders.save_encoder(tmp_path / "grey", encoders.build("digits", 1), grey, {})
    with pytest.raises(UsageError, match="3 channels"):
        eval_alignment(settings(tmp_path / "grey", dataset=str(photos), loss_batch=6))


def test_byol_has_a_projector_too(pretrain_pairs: Path, tmp_path: Path) -> None:
    changes = {"method": "byol", "temperature": None, "projector": (16, 16), "predictor": 16, "updates": 2}
    pretrain(pretrain_settings(pretrain_pairs, **changes), out=tmp_path)
    assert eval_alignment(settings(tmp_path, pairs=pretrain_pairs))["projections"]["dim"] == 16


def test_what_cannot_be_measured_is_refused(run: Path, pretrain_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--loss-batch"):
        eval_alignment(settings(run, pairs=pretrain_pairs, loss_batch=81))
    with pytest.raises(DataError, match="nowhere"):
        eval_alignment(settings(run, pairs=tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="simclrr"):
        eval_alignment(settings(run, augment="simclrr"))
    for wrong in ({"augment": "none"}, {"pairs": "a", "dataset": "digits"}, {"n": 1}, {"temperature": 0}):
        with pytest.raises(ValidationError, match="|".join(wrong)):
            settings(run, **wrong)
