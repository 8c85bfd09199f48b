"""The SGD probe of `copgen eval linear`: the paper's protocol, with its choices made on validation.

Without augmentation, features are extracted once. With it, every epoch sees new crops of the training images: 0.2 to 1
of the area, mirrored or not; the encoder runs in every epoch. Test and validation images are never augmented. Features
are standardised over the training images, unless the protocol is the authors': SGD converges slowly otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import views
from copgen.data.batches import in_colours
from copgen.data.datasets import Images, needs_labels, open_dataset
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import Loader, LoaderConfig
from copgen.data.sampler import EpochSampler
from copgen.data.splits import Split
from copgen.evaluation.feature_choices import FeatureChoices
from copgen.evaluation.features import Standardised
from copgen.evaluation.head_groups import HeadGroups
from copgen.evaluation.linear_heads import LinearHeads, ranked_by
from copgen.evaluation.probe_state import ProbeFile
from copgen.evaluation.scores import scores
from copgen.evaluation.sgd_probe import Batches, scaled, train_heads
from copgen.runtime.events import Events
from copgen.stages.eval.opening import Opened
from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen.stages.eval.settings.linear import EvalLinearSettings

STATE = "probe.safetensors"
SECONDS = 20.0  # between two states of a probe whose epochs are short
BATCH, GREY_BATCH = 224, 64  # the authors' code; appendix D, for MNIST
AUTHORS_RATE = 2.0  # for 256 images
GRID = (0.002, 0.006, 0.02, 0.06, 0.2, 0.6, 2.0, 6.0)  # of standardised features, whose squared length is D
RAW_GRID = (0.06, 0.2, 0.6, 2.0, 6.0, 20.0, 60.0, 200.0)


def trained(data: Opened, settings: EvalLinearSettings, events: Events, *, folder: Path) -> dict[str, Any]:
    """The results of the heads at their best epoch: chosen on validation, or on the test images as the authors do.

    The state after an epoch is in `STATE` in the folder, and resumed from there: after every epoch with augmentation,
    after some of them without, as they take seconds.
    """
    authors = settings.protocol == "authors"
    standardise = not authors if settings.standardise is None else settings.standardise
    rates = rates_of(settings, standardise=standardise)
    batch = settings.probe_batch or (GREY_BATCH if data.encoder.config.in_channels == 1 else BATCH)
    crops = augments(data, settings)
    choices = FeatureChoices(data.encoder, settings.features)
    inputs = Inputs(data, None if choices.names == ("avgpool",) else choices, standardise=standardise, crops=crops)
    test = inputs.of("test"), data.labels("test")
    choice = test if authors else (inputs.of("validation"), data.labels("validation"))
    columns = [choices.columns(name) for name in choices.names]
    heads = HeadGroups(
        [
            (some, LinearHeads(some.stop - some.start, len(data.classes), scaled(rates, batch), device=data.device))
            for some in columns
        ]
    )
    decides = {
        **data.document("eval-linear"),
        **settings.model_dump(mode="json", include={"protocol", "epochs", "seed"}),
        "rates": rates,
        "batch": batch,
        "crops": crops,
        "standardise": standardise,
        "features": choices.names,
    }
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    with (_cropped if crops else _plain)(inputs, settings, batch, with_validation=authors) as (images, made):
        events.begin("eval linear", total=settings.epochs, unit="epochs")
        try:
            probe = train_heads(
                heads,
                made,
                choice,
                epochs=settings.epochs,
                progress=lambda done, top1: events.advance(done, {"top1": top1}),
                state=ProbeFile(folder / STATE, key, events, seconds=0.0 if crops else SECONDS),
            )
        finally:
            events.end()
    chosen, rate = divmod(probe.best.head, len(rates))
    if len(rates) > 1 and rates[rate] == max(rates):
        events.warn(f"The largest learning rate of the grid, {max(rates):g}, is the best: higher ones may be better.")
    of_test = test[0][:, columns[chosen]]
    found = scores(ranked_by(probe.best.weight, probe.best.bias, of_test), test[1], classes=len(data.classes))
    last = scores(ranked_by(probe.last.weight, probe.last.bias, of_test), test[1], classes=len(data.classes))
    return {
        "probe": "sgd",
        "protocol": settings.protocol,
        "selected_on": "test" if authors else "validation",
        **found.document(data.classes),
        "linear": {
            "top1": found.top1,
            "top5": found.top5,
            "fitted_on": images,
            "tested_on": len(test[1]),
            "features": choices.names[chosen],
            "lr": rates[rate],
            "epoch": probe.best.epoch,
            "last_epoch": {"epoch": probe.last.epoch, "top1": last.top1, "top5": last.top5},
            "batch": batch,
            "epochs": settings.epochs,
            "augmentation": "crop and flip" if crops else "none",
            "standardised": standardise,
            "features_grid": list(choices.names),
            "lr_grid": list(rates),
            f"{'test' if authors else 'validation'}_top1": [list(epoch) for epoch in probe.history],
        },
    }


class Inputs:
    """The features that the heads get, of images in order and of views.

    Args:
        data: the encoder and its images.
        choices: of features; None: the average pool.
        standardise: by the training images.
        crops: whether the heads are trained on crops of the training images, so that their features are not kept.
    """

    def __init__(self, data: Opened, choices: FeatureChoices | None, *, standardise: bool, crops: bool) -> None:
        self.data, self.choices = data, choices
        train = data.features("train", choices) if standardise or not crops else None
        self.standardised = Standardised.over(train) if train is not None and standardise else None
        self._train = None if crops else train

    def for_training(self, *, with_validation: bool) -> Tensor:
        """(N, D) of the training images, and those of validation after them, not yet standardised; to be called once.

        As they are standardised batch by batch, there is no second tensor of this size but where two are joined.
        """
        train, self._train = self._train, None
        assert train is not None
        return torch.cat((train, self.data.features("validation", self.choices))) if with_validation else train

    def of(self, split: Split) -> Tensor:
        """(N, D) of the images of a split."""
        return self.prepared(self.data.features(split, self.choices))

    def embedded(self, images: Tensor) -> Tensor:
        """(K, D) of images (K, C, S, S) in [-1, 1]."""
        return self.prepared((self.choices or self.data.encoder)(images).float())

    def prepared(self, features: Tensor) -> Tensor:
        """Features, standardised if they are."""
        return features if self.standardised is None else self.standardised(features)


def rates_of(settings: EvalLinearSettings, *, standardise: bool) -> tuple[float, ...]:
    """The learning rates of the heads for 256 images; by default a grid, or the authors'."""
    if settings.lr is not None:
        return (settings.lr,)
    if settings.lr_grid is not None:
        return settings.lr_grid
    return (AUTHORS_RATE,) if settings.protocol == "authors" else GRID if standardise else RAW_GRID


def augments(data: Opened, settings: EvalLinearSettings | EvalFinetuneSettings) -> bool:
    """Whether training images are augmented; by default, if they were in pretraining by crops."""
    if settings.augment == "auto":
        return views.policy(data.encoder.config.views).crop is not None
    return settings.augment == "crop"


@contextmanager
def _plain(
    inputs: Inputs, settings: EvalLinearSettings, batch: int, *, with_validation: bool
) -> Iterator[tuple[int, Callable[[int], Batches]]]:
    """The number of training images, and the batches of an epoch from features that are extracted once."""
    data = inputs.data
    splits: tuple[Split, ...] = ("train", "validation") if with_validation else ("train",)
    features = inputs.for_training(with_validation=with_validation)
    labels = torch.cat([data.labels(split) for split in splits])
    sampler = EpochSampler(len(labels), settings.seed)

    def of_epoch(epoch: int) -> Batches:
        for samples in _samples(epoch, len(labels), batch):
            items = sampler[samples]
            yield inputs.prepared(features[items]).to(data.device), labels[items].to(data.device)

    yield len(labels), of_epoch


@contextmanager
def _cropped(
    inputs: Inputs, settings: EvalLinearSettings, batch: int, *, with_validation: bool
) -> Iterator[tuple[int, Callable[[int], Batches]]]:
    """The number of training images, and the batches of an epoch from crops of them."""
    data = inputs.data
    source: Images = data.sources["train"]
    if with_validation:
        both = open_dataset(settings.dataset, "train+validation", root=settings.data_root)
        source = needs_labels(both, settings.dataset, "Evaluation")
    # The encoder normalises.
    policy = views.policy("simclr", jitter=None, grayscale=0.0, normalise=None, size=data.size)
    config = LoaderConfig(
        source=source, policy=policy, seed=settings.seed, count=1, device=data.device, workers=settings.workers
    )
    loader = build_loader("auto", config).loader
    try:
        yield len(source), _Encoded(inputs, loader, len(source), batch)
    finally:
        loader.close()


@dataclass(frozen=True)
class _Encoded:
    """Features of the views of a loader, by epoch."""

    inputs: Inputs
    loader: Loader
    images: int
    batch: int

    @torch.no_grad()
    def _features(self, samples: range) -> tuple[Tensor, Tensor]:
        made = self.loader[samples]
        assert made.labels is not None
        view = in_colours(2.0 * made.views[0] - 1.0, self.inputs.data.channels)
        return self.inputs.embedded(view), made.labels

    def __call__(self, epoch: int) -> Batches:
        return map(self._features, _samples(epoch, self.images, self.batch))


def _samples(epoch: int, images: int, batch: int) -> Iterator[range]:
    """The sample indices of the batches of an epoch; the last may be smaller, as in the authors' code."""
    first, end = epoch * images, (epoch + 1) * images
    for start in range(first, end, batch):
        yield range(start, min(start + batch, end))
