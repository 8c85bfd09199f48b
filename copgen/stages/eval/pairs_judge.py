"""Classifiers that label anchors and positives: that of the embedded digits, or a probe on an encoder's features.

The probe is logistic regression if labelled images are few, else SGD on a grid of rates; both as in `eval linear`,
selected on the validation split. It is fitted on real images: its accuracy on real test images is reported beside what
it says of generated ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from copgen.data.sampler import EpochSampler
from copgen.evaluation.calibrated_svm import CalibratedSVM
from copgen.evaluation.digits_classifier import NO_DIGIT, DigitsClassifier, fit_digits_classifier, judge_accuracy
from copgen.evaluation.features import Standardised
from copgen.evaluation.journal import Journal
from copgen.evaluation.linear_heads import LinearHeads, ranked_by
from copgen.evaluation.logistic import Labelled, choose, one_thread
from copgen.evaluation.logistic_cuda import solver
from copgen.evaluation.pairs_health.measuring import BatchOfPairs
from copgen.evaluation.probe_state import ProbeFile
from copgen.evaluation.sgd_probe import Batches, scaled, train_heads
from copgen.evaluation.spaces import FeatureSpace
from copgen.runtime.events import Events
from copgen.runtime.machine import versions
from copgen.stages.eval.finished_result import key_of
from copgen.stages.eval.linear import SMALL
from copgen.stages.eval.opening import Opened
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.sgd import BATCH, GRID
from copgen.storage.tensors import load_kept, save_tensors

NO_DIGIT_NAME = "no digit"
KIND = "pairs"
CLASSIFIER = "classifier"  # kind of the file of the fitted one
EPOCHS = 20  # of SGD
SECONDS = 20.0  # between two writes of the training's state
Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Judge:
    """A classifier of both images of a pair.

    Attributes:
        text: what it is, for tables.
        classes: their names.
        accuracy: Top-1 on real test images.
        labels: the labels (K,) int64 of anchors, and of positives.
        inputs: hashes of the images that it was fitted on.
    """

    text: str
    classes: tuple[str, ...]
    accuracy: float
    labels: Callable[[BatchOfPairs], tuple[Tensor, Tensor]]
    inputs: dict[str, str] = field(default_factory=dict)


def digits_judge(parts: Path, events: Events) -> Judge:
    """The classifier of the embedded digits, which has an eleventh class, 'no digit'.

    Args:
        parts: the folder where it is kept, to be resumed.
        events: is told when it is fitted.
    """
    file, key = parts / "classifier.safetensors", key_of(versions())
    if (kept := load_kept(file, kind=CLASSIFIER, key=key)) is not None:
        machine = DigitsClassifier(CalibratedSVM.from_tensors(kept[0]))
    else:
        events.say("Fitting the classifier of the embedded digits, which takes about twelve seconds.")
        with one_thread():
            machine = fit_digits_classifier()
        parts.mkdir(parents=True, exist_ok=True)
        save_tensors(file, machine.machine.tensors(), kind=CLASSIFIER, header={"key": key})

    def labels(pairs: BatchOfPairs) -> tuple[Tensor, Tensor]:
        anchors, positives = (torch.from_numpy(machine.labels(images)).long() for images in (pairs.x, pairs.x_pos))
        return anchors, positives

    names = (*map(str, range(NO_DIGIT)), NO_DIGIT_NAME)
    return Judge("support vector machine, fitted on the embedded digits", names, judge_accuracy(machine), labels)


def probe_judge(data: Opened, space: FeatureSpace, parts: Path, events: Events) -> Judge:
    """A probe on features of a labelled dataset.

    Args:
        data: the encoder and the dataset, opened with settings of `eval linear`.
        space: the features of that encoder, for images of pairs.
        parts: the folder where its training is kept, to be resumed.
        events: receives progress, and a warning if a fit did not converge.
    """
    few = len(data.labels("train")) <= SMALL
    predict = (logistic if few else sgd)(data, parts, events)
    accuracy = float((predict(data.features("test")) == data.labels("test")).double().mean())

    def labels(pairs: BatchOfPairs) -> tuple[Tensor, Tensor]:
        h, h_pos = pairs.features(space)
        return predict(h), predict(h_pos)

    kind = "logistic regression" if few else "SGD probe"
    text = f"{kind} on {data.name}, features of {space.text}"
    return Judge(text, data.classes, accuracy, labels, data.sources["train"].inputs)


def logistic(data: Opened, folder: Path, events: Events) -> Predict:
    """Labels (N,) of features (N, D), by logistic regression."""
    settings = data.settings
    assert isinstance(settings, EvalLinearSettings)
    train = Labelled(data.features("train").numpy(), data.labels("train").numpy())
    validation = Labelled(data.features("validation").numpy(), data.labels("validation").numpy())
    parts, fit = (train.standardised(train), validation.standardised(train)), solver(data.device)
    journal = Journal(folder / "probe.json", data.key(KIND), events)

    def chosen() -> tuple[float, bool]:
        found = choose(*parts, c_grid=settings.c_grid, max_iterations=settings.max_iterations, fit=fit)
        return found.C, found.converged

    with one_thread():
        strength, all_converged = journal.part("choice", chosen)
        model, converged = fit(parts[0] + parts[1], strength, max_iterations=settings.max_iterations)
    if not (all_converged and converged):
        events.warn(f"Some fits did not converge in max_iterations = {settings.max_iterations}.")

    def predict(features: Tensor) -> Tensor:
        rows = features.cpu().double().numpy()
        prepared = Labelled(rows, np.zeros(len(rows), dtype=np.int64)).standardised(train)
        with one_thread():
            return torch.from_numpy(np.asarray(model.predict(prepared.features), dtype=np.int64))

    return predict


def sgd(data: Opened, folder: Path, events: Events) -> Predict:
    """Labels (N,) of features (N, D), by the best of the heads of a grid of rates."""
    features, labels = data.features("train"), data.labels("train")
    prepare = Standardised.over(features)
    choice = prepare(data.features("validation")), data.labels("validation")
    heads = LinearHeads(features.shape[1], len(data.classes), scaled(GRID, BATCH), device=data.device)
    sampler = EpochSampler(len(labels), data.settings.seed)

    def batch(items: Tensor) -> tuple[Tensor, Tensor]:
        return prepare(features[items]).to(data.device), labels[items].to(data.device)

    def batches(epoch: int) -> Batches:
        samples = range(epoch * len(labels), (epoch + 1) * len(labels))
        return map(batch, torch.split(sampler[samples], BATCH))

    events.begin("probe", total=EPOCHS, unit="epochs")
    try:
        best = train_heads(
            heads,
            batches,
            choice,
            epochs=EPOCHS,
            progress=lambda done, top1: events.advance(done, {"top1": top1}),
            state=ProbeFile(folder / "probe.safetensors", data.key(KIND), events, seconds=SECONDS),
        ).best
    finally:
        events.end()
    return lambda h: ranked_by(best.weight, best.bias, prepare(h), most=1)[:, 0]
