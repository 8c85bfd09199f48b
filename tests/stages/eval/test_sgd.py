"""The SGD probe of `eval linear`: when it is taken, what it is trained on, and what selects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.runtime.errors import UsageError
from copgen.stages.eval import linear
from copgen.stages.eval.linear import eval_linear
from tests.stages.eval import drawn
from tests.stages.eval.test_linear import CONFIG, quick


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    torch.manual_seed(0)
    encoders.save_encoder(folder, encoders.build("digits", 1), CONFIG, {})
    return folder


def test_features_without_augmentation_by_default_for_digits(digits: Path, tmp_path: Path) -> None:
    result = eval_linear(quick(digits, probe="sgd", epochs=20), out=tmp_path / "a")
    probe = result["linear"]
    assert (result["probe"], result["protocol"], result["selected_on"]) == ("sgd", "validation", "validation")
    assert (probe["augmentation"], probe["batch"], probe["fitted_on"], probe["tested_on"]) == ("none", 64, 1248, 368)
    assert result["top1"] == probe["top1"] > 0.85
    table = probe["validation_top1"]
    assert (len(table), len(table[0])) == (20, len(probe["lr_grid"]))
    assert table[probe["epoch"] - 1][probe["lr_grid"].index(probe["lr"])] == max(map(max, table))
    assert eval_linear(quick(digits, probe="sgd", epochs=20, batch=100), out=tmp_path / "b")["top1"] == pytest.approx(
        result["top1"], abs=3 / 368
    )
    eval_linear(quick(digits, probe="sgd", epochs=20), out=tmp_path / "c")
    assert (tmp_path / "a/results.json").read_bytes() == (tmp_path / "c/results.json").read_bytes()


def test_the_authors_protocol_trains_on_all_and_reports_the_best_test_epoch(digits: Path, tmp_path: Path) -> None:
    result = eval_linear(quick(digits, protocol="authors", epochs=6), out=tmp_path)
    probe = result["linear"]
    assert (result["probe"], result["protocol"], result["selected_on"]) == ("sgd", "authors", "test")
    assert (probe["lr_grid"], probe["fitted_on"]) == ([2.0], 1248 + 181)
    of_test = [epoch[0] for epoch in probe["test_top1"]]
    assert probe["top1"] == pytest.approx(max(of_test))
    assert probe["last_epoch"]["top1"] == pytest.approx(of_test[-1])
    assert "validation_top1" not in probe


@pytest.mark.parametrize("protocol", ["validation", "authors"])
def test_crops_of_photos(protocol: str, tmp_path: Path) -> None:
    photos = drawn.photos(tmp_path / "photos", train=10, test=4)
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    torch.manual_seed(0)
    encoders.save_encoder(tmp_path, encoders.build("digits", 3), config, {})
    settings = quick(tmp_path, dataset=str(photos), probe="sgd", protocol=protocol, epochs=8, probe_batch=16)
    result = eval_linear(settings)
    assert result["linear"]["augmentation"] == "crop and flip"
    assert result["linear"]["fitted_on"] == (27 if protocol == "validation" else 30)
    assert result["top1"] > 0.5
    kept = {path.name.split("-")[0] for path in (tmp_path / "eval" / "features").iterdir()}
    assert kept == ({"test", "validation"} if protocol == "validation" else {"test"})
    again = eval_linear(settings)
    assert again == result


def test_crops_of_grey_images_for_an_encoder_of_rgb(tmp_path: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=8, views="simclr")
    encoders.save_encoder(tmp_path, encoders.build("digits", 3), config, {})
    result = eval_linear(quick(tmp_path, probe="sgd", epochs=1, convert_channels=True))
    assert (result["linear"]["augmentation"], result["linear"]["batch"]) == ("crop and flip", 224)


def test_many_training_images_take_sgd(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "SMALL", 1000)
    assert eval_linear(quick(digits, epochs=1), out=tmp_path)["probe"] == "sgd"


@pytest.mark.parametrize("setting", [{"protocol": "authors"}, {"augment": "crop"}])
def test_settings_of_sgd_are_refused_with_lbfgs(digits: Path, setting: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"--{'protocol' if 'protocol' in setting else 'augment'}"):
        eval_linear(quick(digits, probe="lbfgs", **setting))
