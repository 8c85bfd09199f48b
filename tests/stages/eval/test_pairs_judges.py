"""`eval pairs` with an encoder or the classifier of digits as judge, and after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

from copgen import encoders
from copgen.data import digits
from copgen.data.splits import Split
from copgen.encoders import EncoderConfig
from copgen.evaluation.calibrated_svm import CalibratedSVM
from copgen.evaluation.digits_classifier import NO_DIGIT, DigitsClassifier
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Silent
from copgen.stages.eval import pairs_judge, pairs_measured
from copgen.stages.eval.opening import Opened, opened
from copgen.stages.eval.pairs import eval_pairs
from copgen.stages.eval.settings.linear import EvalLinearSettings
from tests.pairs import folders
from tests.stages.eval import drawn
from tests.stages.eval.made_pairs import another, quick, slightly, write
from tests.stages.eval.test_linear import Recorder

KILLED = """
import os, signal, sys
from pathlib import Path
from copgen.evaluation import parts
from copgen.stages.eval import pairs_judge, pairs_measured
from copgen.stages.eval.pairs import eval_pairs
from copgen.stages.eval.settings.pairs import EvalPairsSettings

parts.SECONDS = pairs_judge.SECONDS = 0.0
pairs_judge.SMALL = 100
set_rows, train = pairs_measured.Rows.set, pairs_judge.train_heads

def until_the_third_batch(rows, first, *others):
    if first == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    set_rows(rows, first, *others)

def until_the_third_epoch(*given, progress, **how):
    train(*given, progress=lambda done, top1: done == 3 and os.kill(os.getpid(), signal.SIGKILL), **how)

pairs_measured.Rows.set = until_the_third_batch
if sys.argv[3] == "probe":
    pairs_judge.train_heads = until_the_third_epoch
folder, encoder = map(Path, sys.argv[1:3])
eval_pairs(EvalPairsSettings(pairs=folder, encoder=encoder, dataset="digits", n=57, device="cpu", batch=20, rows=3))
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    encoders.save_encoder(folder, encoders.build("digits", 1), config, {})
    return folder


@pytest.mark.parametrize("small", [True, False])
def test_labels_by_a_probe_on_an_encoder(
    small: bool, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By logistic regression, or SGD for many images: untrained features suffice for most digits."""
    monkeypatch.setattr(pairs_judge, "SMALL", 10_000 if small else 100)
    folder = write(tmp_path / "pairs", slightly)
    result = eval_pairs(quick(folder, encoder=encoder, dataset="digits", classifier="auto", n=60))
    labels = result["labels"]
    assert labels["accuracy_real"] > 0.8
    assert labels["agreement"] > 0.6 > 0.3 > labels["null"]
    assert ("logistic regression" in labels["classifier"]) == small
    name = f"encoder:{encoder}"
    assert list(result["similarity"]) == ["ms-ssim", name]
    assert result["diversity"]["space"] == name
    assert result["inputs"]["encoder.safetensors"]
    assert set(result["per_class"]) <= set(map(str, range(10)))
    kept = sum(one["pairs"] * one["agreement"] for one in result["per_class"].values())
    assert kept / 60 == pytest.approx(labels["agreement"])


def test_the_training_features_of_an_sgd_probe_are_extracted_once(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs_judge, "EPOCHS", 2)
    settings = EvalLinearSettings(ckpt=encoder, device="cpu", cache=False)
    data = opened(settings, "linear", out=tmp_path, events=Silent())
    extract, extracted = Opened._extracted, list[str]()

    def counted(data: Opened, split: Split, *given: Any) -> torch.Tensor:
        extracted.append(split)
        return extract(data, split, *given)

    monkeypatch.setattr(Opened, "_extracted", counted)
    predict = pairs_judge.sgd(data, tmp_path, Silent())
    assert sorted(extracted) == ["train", "validation"]
    found = predict(data.features("test"))
    assert float((found == data.labels("test")).double().mean()) > 0.6


def test_an_encoder_without_a_dataset_gives_features_only(encoder: Path, tmp_path: Path) -> None:
    events = Recorder()
    folders.write(tmp_path / "pairs", folders.plan(image_shape=(3, 12, 10)))
    result = eval_pairs(quick(tmp_path / "pairs", encoder=encoder, space="pixels"), events=events)
    assert (result["labels"], result["diversity"]["space"]) == (None, "pixels")
    assert any("converted to 8 x 8 and 1" in line for line in events.lines)


@pytest.mark.parametrize("killed_in", ["probe", "pairs"])
def test_it_resumes_after_a_kill_with_the_same_bytes(
    killed_in: str, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "pairs", slightly)
    ended = subprocess.run([sys.executable, "-c", KILLED, folder, encoder, killed_in], check=False)
    assert ended.returncode == -signal.SIGKILL
    monkeypatch.setattr(pairs_judge, "SMALL", 100)
    settings = quick(folder, encoder=encoder, dataset="digits", classifier="auto", n=57, batch=20)
    events, measured, set_rows = Recorder(), list[int](), pairs_measured.Rows.set

    def counted(rows: pairs_measured.Rows, first: int, *others: Any) -> None:
        measured.append(first)
        set_rows(rows, first, *others)

    monkeypatch.setattr(pairs_measured.Rows, "set", counted)
    eval_pairs(settings, events=events)
    assert any("epoch 3" in line for line in events.lines) == (killed_in == "probe")
    # Of the two batches that were done, the second gives the null level of the third.
    assert measured == ([20, 40] if killed_in == "pairs" else [0, 20, 40])
    health = tmp_path / "pairs-health"
    assert {path.name for path in health.iterdir()} == {"results.json", "pairs.png"}
    eval_pairs(settings, out=tmp_path / "whole")
    for name in ("results.json", "pairs.png"):
        assert (health / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_embedded_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one fitted on few images in its place, which takes a second instead of twelve."""
    fitted = list[int]()

    def quick_fit() -> DigitsClassifier:
        fitted.append(1)
        train = digits.load("train")
        noise = torch.rand(50, 64, generator=torch.Generator().manual_seed(0))
        images = torch.cat(((train.images.flatten(1)[:500] + 1) / 2, noise)).double().numpy()
        labels = np.concatenate((train.labels[:500].numpy(), np.full(50, NO_DIGIT)))
        machine = CalibratedClassifierCV(SVC(C=10.0, gamma=0.256), ensemble=False, cv=3).fit(images, labels)
        return DigitsClassifier(CalibratedSVM.of(machine))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs_judge, "fit_digits_classifier", quick_fit)
    folder = write(tmp_path / "pairs", another)
    with monkeypatch.context() as patch:
        patch.setattr(pairs_measured.Rows, "set", killed)
        with pytest.raises(KeyboardInterrupt):
            eval_pairs(quick(folder, classifier="auto"))
    assert fitted == [1]
    result = eval_pairs(quick(folder, classifier="auto"))  # the plan says that the generator is that of the digits
    assert fitted == [1]  # it was kept
    assert {path.name for path in (tmp_path / "pairs-health").iterdir()} == {"results.json", "pairs.png"}
    assert result["labels"]["agreement"] < 0.4
    assert result["labels"]["accuracy_real"] > 0.9
    assert "label agreement" in result["verdict"]
    kinds = {name for name, one in result["per_class"].items() if one["pairs"]}
    assert kinds <= {*map(str, range(10)), "no digit"}
    folders.write(tmp_path / "rgb", folders.plan(image_shape=(3, 8, 8)))
    assert eval_pairs(quick(tmp_path / "rgb", classifier="auto"))["labels"] is None
    with pytest.raises(UsageError, match="--encoder"):
        eval_pairs(quick(tmp_path / "rgb", classifier="digits"))


def test_an_encoder_and_a_dataset_that_do_not_fit(encoder: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly, count=4)
    photos = drawn.photos(tmp_path / "photos")
    with pytest.raises(UsageError, match="--convert-channels"):
        eval_pairs(quick(folder, encoder=encoder, dataset=str(photos), classifier="auto"))


def test_an_encoder_that_diverged(tmp_path: Path) -> None:
    folder, network = write(tmp_path / "pairs", slightly, count=4), encoders.build("digits", 1)
    with torch.no_grad():
        for value in network.parameters():
            value.fill_(1e30)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    encoders.save_encoder(tmp_path / "run", network, config, {})
    with pytest.raises(DataError, match="not finite"):
        eval_pairs(quick(folder, encoder=tmp_path / "run"))
