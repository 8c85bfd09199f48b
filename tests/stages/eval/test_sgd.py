"""The SGD probe of `eval linear`: when it is taken, what it is trained on, and what selects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from copgen import encoders
from copgen.data.batches import batches
from copgen.data.mnist import open_mnist
from copgen.data.sampler import EpochSampler
from copgen.data.splits import SPLITS, Split
from copgen.encoders import EncoderConfig
from copgen.evaluation.features import Standardised, features_of
from copgen.evaluation.linear_heads import LinearHeads, ranked_by
from copgen.evaluation.probe_state import Chosen, ProbeFile
from copgen.evaluation.scores import scores
from copgen.evaluation.sgd_probe import Batches, scaled, train_heads
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Silent
from copgen.stages.eval import linear, sgd
from copgen.stages.eval.linear import eval_linear
from copgen.stages.eval.opening import Opened
from copgen.stages.eval.sgd import GRID, RAW_GRID
from tests.shared_data import shared
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
    assert probe["standardised"] is True
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
    assert probe["standardised"] is False


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
    assert kept == ({"train", "test", "validation"} if protocol == "validation" else {"test"})
    again = eval_linear(settings)
    assert again == result


@pytest.mark.parametrize("damaged", [False, True])
def test_a_run_with_crops_resumes_after_the_last_whole_epoch(
    damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    torch.manual_seed(0)
    encoders.save_encoder(tmp_path, encoders.build("digits", 1), config, {})
    settings = quick(tmp_path, probe="sgd", augment="crop", epochs=5)
    whole = eval_linear(settings, out=tmp_path / "whole")
    of_epoch, begun = sgd._Encoded.__call__, list[int]()

    def until_the_third(self: sgd._Encoded, epoch: int) -> Batches:
        begun.append(epoch)
        if epoch == 3 and begun.count(3) == 1:
            raise KeyboardInterrupt
        return of_epoch(self, epoch)

    monkeypatch.setattr(sgd._Encoded, "__call__", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        eval_linear(settings, out=tmp_path / "parts")
    state = tmp_path / "parts" / sgd.STATE
    if damaged:
        state.write_bytes(state.read_bytes()[:-8])
    begun.clear()
    begun.append(3)
    assert eval_linear(settings, out=tmp_path / "parts") == whole
    assert begun[1:] == ([0, 1, 2, 3, 4] if damaged else [3, 4])
    assert (tmp_path / "parts/results.json").read_bytes() == (tmp_path / "whole/results.json").read_bytes()
    assert not state.exists()


def test_a_state_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    heads = LinearHeads(4, 3, (0.1, 1.0))
    best = Chosen(1, 2, 0.5, *heads.head(1))
    ProbeFile(tmp_path / "probe.safetensors", "a", Silent()).save(heads, [(0.1, 0.5)], best)
    history, found = ProbeFile(tmp_path / "probe.safetensors", "a", Silent()).resume(heads)
    assert (history, found and (found.head, found.epoch, found.top1)) == ([(0.1, 0.5)], (1, 2, 0.5))
    assert ProbeFile(tmp_path / "probe.safetensors", "b", Silent()).resume(heads) == ([], None)
    assert ProbeFile(tmp_path / "absent.safetensors", "a", Silent()).resume(heads) == ([], None)


def test_crops_of_grey_images_for_an_encoder_of_rgb(tmp_path: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=8, views="simclr")
    encoders.save_encoder(tmp_path, encoders.build("digits", 3), config, {})
    result = eval_linear(quick(tmp_path, probe="sgd", epochs=1, convert_channels=True))
    assert (result["linear"]["augmentation"], result["linear"]["batch"]) == ("crop and flip", 224)


def test_the_grid_of_rates_can_be_replaced(digits: Path, tmp_path: Path) -> None:
    def grid(**changes: object) -> list[float]:
        found = eval_linear(quick(digits, probe="sgd", epochs=1, **changes), out=tmp_path)["linear"]["lr_grid"]
        return list(found)

    assert grid() == list(GRID)
    assert grid(standardise=False) == list(RAW_GRID)
    assert grid(lr=0.3) == [0.3]
    assert grid(lr_grid=(0.1, 0.2)) == [0.1, 0.2]
    assert grid(lr_grid=(0.1, 0.2), protocol="authors") == [0.1, 0.2]


def test_many_training_images_take_sgd(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "SMALL", 1000)
    assert eval_linear(quick(digits, epochs=1), out=tmp_path)["probe"] == "sgd"


@pytest.mark.parametrize("setting", [{"protocol": "authors"}, {"augment": "crop"}])
def test_settings_of_sgd_are_refused_with_lbfgs(digits: Path, setting: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"--{'protocol' if 'protocol' in setting else 'augment'}"):
        eval_linear(quick(digits, probe="lbfgs", **setting))


def test_it_agrees_with_scikit_learn_on_the_same_features_of_mnist() -> None:
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=28, views="mnist")
    encoder = encoders.Encoder(encoders.build("digits", 1), config)
    parts = {}
    for split in SPLITS:
        some = open_mnist(shared("data/mnist"), split).select(torch.arange(1500 if split == "train" else 1000))
        assert some.labels is not None
        parts[split] = features_of(encoder, batches(some)), some.labels
    prepare = Standardised.over(parts["train"][0])
    train, validation, test = ((prepare(features), labels) for features, labels in parts.values())
    heads = LinearHeads(encoder.feature_dim, 10, scaled(GRID, 64))
    sampler = EpochSampler(1500, 0)

    def epoch(number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for some in torch.split(sampler[range(1500 * number, 1500 * (number + 1))], 64):
            yield train[0][some], train[1][some]

    best = train_heads(heads, epoch, validation, epochs=60).best
    ours = scores(ranked_by(best.weight, best.bias, test[0]), test[1], classes=10).top1
    theirs = LogisticRegression(max_iter=3000).fit(*(part.numpy() for part in train))
    assert ours == pytest.approx(theirs.score(*(part.numpy() for part in test)), abs=0.005)


def test_training_features_are_extracted_once_and_never_copied(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted, taken = list[tuple[str, torch.Tensor]](), list[torch.Tensor]()
    extract, take = Opened._extracted, sgd.Inputs.for_training

    def extracting(data: Opened, split: Split, *given: Any) -> torch.Tensor:
        found = extract(data, split, *given)
        extracted.append((split, found))
        return found

    def taking(inputs: sgd.Inputs, **how: bool) -> torch.Tensor:
        taken.append(take(inputs, **how))
        return taken[-1]

    monkeypatch.setattr(Opened, "_extracted", extracting)
    monkeypatch.setattr(sgd.Inputs, "for_training", taking)
    eval_linear(quick(digits, probe="sgd", epochs=1, cache=False), out=tmp_path)
    assert sorted(split for split, _ in extracted) == ["test", "train", "validation"]
    (train,) = (found for split, found in extracted if split == "train")
    assert taken[0] is train
