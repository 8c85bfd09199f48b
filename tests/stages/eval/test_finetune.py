"""`eval finetune`: the training against a plain loop, its choices, and its resumption."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from copgen import encoders, views
from copgen.data import digits
from copgen.data.sampler import EpochSampler
from copgen.encoders import EncoderConfig
from copgen.evaluation.classifier import Classifier
from copgen.evaluation.few_labels import drawn, interval
from copgen.runtime.errors import Diverged, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.philox import permutation
from copgen.stages.eval.few_shot import eval_few_shot
from copgen.stages.eval.finetune import ARTEFACT, eval_finetune
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen.storage.tensors import load_tensors
from tests.stages.eval import drawn as pictures
from tests.stages.small import assert_same_run, interrupted, killed, metrics

RATES, EPOCHS, K, LABELS, VALIDATION = (0.5, 5.0), 2, 10, 2, 40
UPDATES = EPOCHS * 10 * LABELS // K  # of a trial, of which there are four


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    encoders.save_encoder(folder, encoders.build("digits", 1), config, {"stage": "a test"})
    return folder


def settings(ckpt: Path, **changes: object) -> EvalFinetuneSettings:
    fields: dict[str, object] = {
        "ckpt": ckpt,
        "device": "cpu",
        "labels": (LABELS,),
        "draws": 2,
        "lr_grid": RATES,
        "epochs": EPOCHS,
        "train_batch": K,
        "validation_images": VALIDATION,
        "c_grid": (0.01,),
        "checkpoint_every": 3,
    }
    return EvalFinetuneSettings.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def straight(ckpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("finetune") / "run"
    eval_finetune(settings(ckpt), out=folder)
    return folder


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def as_stage(asked: EvalFinetuneSettings) -> Callable[[Path, Events], dict[str, Any]]:
    return lambda out, events: eval_finetune(asked, out=out, events=events)


def test_a_trial_is_a_plain_loop(ckpt: Path, straight: Path) -> None:
    """The last draw at both rates, in a loop of its own; the weights kept are those of its best epoch."""
    train, held_out = digits.source("train"), digits.source("validation")
    assert train.labels is not None
    assert held_out.labels is not None
    rows = torch.from_numpy(drawn(train.labels.numpy(), labels_per_class=LABELS, seed=0, draw=1))
    items = permutation(0, len(held_out), stream="eval/finetune/validation")[:VALIDATION].sort().values
    histories, kept = {}, {}
    for rate in RATES:
        backbone = encoders.load(ckpt).backbone.requires_grad_(True).train()
        head = torch.nn.Linear(backbone.feature_dim, 10)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        net = torch.nn.Sequential(backbone, head)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        order, history = EpochSampler(len(rows), 0), []
        for update in range(UPDATES):
            some = rows[order[range(update * K, (update + 1) * K)]]
            x = views.plain(train.images[some].float(), views.policy("mnist"))
            cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * update / UPDATES)))
            for group in optimizer.param_groups:
                group["lr"] = float(rate * K / 256 * cosine)
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(net(x), train.labels[some]))
            optimizer.step()
            if (update + 1) * K % len(rows) == 0:
                with torch.no_grad():
                    net.eval()
                    logits = net(views.plain(held_out.images[items].float(), views.policy("mnist")))
                    net.train()
                history.append(float((logits.argmax(1) == held_out.labels[items]).double().mean()))
                kept[rate, len(history)] = {name: value.clone() for name, value in net.state_dict().items()}
        histories[f"{rate:g}"] = history
    last = results(straight)["finetune"]["2"]["draws"][1]
    assert last["validation_top1"] == histories
    tensors, header = load_tensors(straight / ARTEFACT, kind="classifier")
    best = kept[last["lr"], last["epoch"]]
    for name, value in tensors.items():
        own = name.replace("backbone.", "0.", 1).replace("head.", "1.", 1)
        torch.testing.assert_close(value, best[own], rtol=1e-3, atol=1e-5)
    assert header["classes"] == [str(number) for number in range(10)]


def test_the_best_epoch_on_validation_is_tested(straight: Path) -> None:
    found = results(straight)["finetune"]["2"]
    assert (found["fitted_on"], found["tested_on"], found["batch"], found["updates"]) == (20, 368, K, UPDATES)
    for draw in found["draws"]:
        assert draw["validation_top1"][f"{draw['lr']:g}"][draw["epoch"] - 1] == max(
            map(max, draw["validation_top1"].values())
        )
        assert draw["top5"] >= draw["top1"]
    top1 = [draw["top1"] for draw in found["draws"]]
    assert found["top1_mean"] == pytest.approx(sum(top1) / 2)
    assert found["interval95"] == pytest.approx(interval(top1))
    assert set(found["per_class"]) == {str(number) for number in range(10)}


def test_the_frozen_probe_has_the_labels_of_the_few_shot_evaluation(ckpt: Path, straight: Path, tmp_path: Path) -> None:
    asked = EvalFewShotSettings(ckpt=ckpt, device="cpu", labels=(LABELS,), draws=2, c_grid=(0.01,))
    few = eval_few_shot(asked, out=tmp_path)["few_shot"]["2"]
    found = results(straight)["finetune"]["2"]
    for own, other in zip(found["draws"], few["draws"], strict=True):
        assert (own["frozen"]["top1"], own["frozen"]["C"]) == (pytest.approx(other["top1"], abs=0.003), other["C"])
    assert found["frozen"]["top1_mean"] == pytest.approx(few["top1_mean"], abs=0.003)


@pytest.mark.parametrize("at", [(2, 9), (UPDATES, 2 * UPDATES)])
def test_a_stopped_run_resumes_to_the_same_bytes(
    at: tuple[int, ...], ckpt: Path, straight: Path, tmp_path: Path
) -> None:
    """In trials and between them; `Stopped` has exit code 75."""
    interrupted(as_stage(settings(ckpt)), tmp_path, at, signal.SIGTERM)
    assert_same_run(tmp_path, straight, ARTEFACT)
    assert (tmp_path / "results.json").read_bytes() == (straight / "results.json").read_bytes()


def test_a_killed_run_resumes_to_the_same_bytes(ckpt: Path, straight: Path, tmp_path: Path) -> None:
    killed(as_stage(settings(ckpt)), tmp_path / "run", 3 * UPDATES + 1)
    assert_same_run(tmp_path / "run", straight, ARTEFACT)
    assert (tmp_path / "run/results.json").read_bytes() == (straight / "results.json").read_bytes()


def test_a_finished_run_is_returned_and_another_is_refused(ckpt: Path, straight: Path) -> None:
    before = (straight / "results.json").read_bytes()
    assert eval_finetune(settings(ckpt, batch=7), out=straight) == json.loads(before)
    assert len(metrics(straight)) == 4 * UPDATES
    with pytest.raises(UsageError, match="epochs"):
        eval_finetune(settings(ckpt, epochs=3), out=straight)
    assert (straight / "results.json").read_bytes() == before


def test_a_rate_that_diverges_loses(ckpt: Path, tmp_path: Path) -> None:
    found = eval_finetune(settings(ckpt, lr_grid=(0.5, 1e38), checkpoint_every=1000), out=tmp_path)
    for draw in found["finetune"]["2"]["draws"]:
        assert draw["lr"] == 0.5
        assert draw["validation_top1"]["1e+38"] == [0.0] * EPOCHS
    with pytest.raises(Diverged, match="--lr"):
        eval_finetune(settings(ckpt, lr_grid=None, lr=1e38, epochs=5, checkpoint_every=1000), out=tmp_path / "all")


def test_a_trial_that_diverged_computes_nothing_any_longer(
    ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, updates = Classifier.forward, list[int]()

    def counted(classifier: Classifier, x: torch.Tensor) -> torch.Tensor:
        if classifier.training:
            updates.append(len(x))
        return forward(classifier, x)

    monkeypatch.setattr(Classifier, "forward", counted)
    eval_finetune(settings(ckpt, lr_grid=(0.5, 1e38), draws=2, checkpoint_every=1000), out=tmp_path)
    assert len(updates) == 2 * (UPDATES + 2)  # the second loss is not finite
    assert len(metrics(tmp_path)) == 4 * UPDATES


@pytest.mark.parametrize("folder", ["train", "val"])
def test_a_run_whose_images_have_changed_is_not_resumed(folder: str, tmp_path: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    encoders.save_encoder(tmp_path / "run", encoders.build("digits", 3), config, {})
    photos = pictures.photos(tmp_path / "photos", train=10, test=2)
    asked = settings(tmp_path / "run", dataset=str(photos), epochs=1, lr_grid=(0.5,), checkpoint_every=1)
    eval_finetune(asked, out=tmp_path / "out")
    some = sorted((photos / folder).glob("*/*.png"))
    some[0].write_bytes(some[-1].read_bytes())
    with pytest.raises(UsageError, match=r"sha256 of the .*images"):
        eval_finetune(asked, out=tmp_path / "out")


def test_photos_are_cropped_and_shares_of_labels_taken(tmp_path: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="simclr")
    encoders.save_encoder(tmp_path / "run", encoders.build("digits", 3), config, {})
    photos = pictures.photos(tmp_path / "photos", train=10, test=2)
    asked = settings(tmp_path / "run", dataset=str(photos), percent=(50,), labels=None, epochs=1, lr_grid=(0.5,))
    found = eval_finetune(asked, events=Silent())
    assert found["augmentation"] == "crop and flip"
    assert found["finetune"]["50%"]["fitted_on"] == 12  # of nine in each class, rounded to even
    assert found["finetune"]["50%"]["top5_mean"] is None
    assert (tmp_path / "run/eval/finetune/results.json").is_file()


def test_too_many_labels_are_refused_before_anything_is_written(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="500 labels per class"):
        eval_finetune(settings(ckpt, labels=(500,)), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
