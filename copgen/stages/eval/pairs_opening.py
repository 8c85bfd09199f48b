"""What `eval pairs` measures with: measures of similarity, a feature space, a classifier.

All is opened, and what is missing is reported, before a classifier is fitted or a pair is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from copgen import encoders
from copgen.encoders.encoder import encoder_file
from copgen.evaluation.similarity import Similarity, check_similarity, open_similarity
from copgen.evaluation.similarity.choice import MS_SSIM
from copgen.evaluation.similarity.cosine import CosineSimilarity
from copgen.evaluation.similarity.structural import SMALLEST, check_side
from copgen.evaluation.spaces import FeatureSpace, check_space, open_space
from copgen.evaluation.spaces.trained_encoder import EncoderSpace
from copgen.pairs import Contents, Plan
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device, versions
from copgen.stages.eval.opening import Opened, opened
from copgen.stages.eval.pairs_judge import KIND, Judge, digits_judge, probe_judge
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.settings.pairs import EvalPairsSettings
from copgen.storage.files import sha256_of

DIGITS, SHAPE = "digits", (1, 8, 8)
PIXELS = "pixels"
PARTS = "parts"  # folder of what is done, until the results are there


@dataclass(frozen=True)
class Instruments:
    """What pairs are measured with.

    Attributes:
        similarities: the first is the main one.
        space: of the diversity of anchors.
        probed: the features of the encoder, and labelled images with it, for the judge; None: it is another.
        of_digits: whether the judge is that of the embedded digits.
        judge: None: labels are not known, or it is not fitted yet.
    """

    device: torch.device
    similarities: list[Similarity]
    space: FeatureSpace
    probed: tuple[Opened, FeatureSpace] | None
    of_digits: bool
    judge: Judge | None = None

    @property
    def decides(self) -> dict[str, Any]:
        """Everything of it that decides results, JSON-able; known before the judge is fitted."""
        judge = self.probed[0].key(KIND) if self.probed is not None else DIGITS if self.of_digits else None
        spaces = [[one.name, one.inputs] for one in self.similarities] + [[self.space.name, self.space.inputs]]
        return {"spaces": spaces, "judge": judge, "device": self.device.type, "versions": versions()}

    def fitted(self, parts: Path, events: Events) -> Instruments:
        """With the judge, whose training is kept in this folder, to be resumed."""
        if self.probed is not None:
            return replace(self, judge=probe_judge(*self.probed, parts, events))
        return replace(self, judge=digits_judge(parts, events)) if self.of_digits else self

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of weights and of labelled images."""
        found = dict(self.space.inputs) | (self.judge.inputs if self.judge is not None else {})
        for similarity in self.similarities:
            found |= similarity.inputs
        return found


def instruments(settings: EvalPairsSettings, plan: Contents, *, folder: Path, events: Events) -> Instruments:
    """Open everything that the settings ask for.

    Args:
        settings: of the evaluation.
        plan: of the pairs.
        folder: of the results, where features of the labelled dataset are kept.
        events: receives progress and messages.

    Raises:
        UsageError: an unknown measure or space, or images that do not fit it.
        DataError, EnvironmentFault: as `eval_pairs`.
    """
    device = resolve_device(settings.device)
    encoder = None if settings.encoder is None else f"encoder:{settings.encoder}"
    usual = (MS_SSIM if min(plan.image_shape[1:]) >= SMALLEST else PIXELS, *([encoder] if encoder else []))
    names = tuple(dict.fromkeys(settings.similarity or usual))
    for name in names:
        check_similarity(name)
    if MS_SSIM in names:
        check_side(min(plan.image_shape[1:]))
    space_name = settings.space or encoder or PIXELS
    check_space(space_name)
    if settings.classifier == DIGITS:
        check_digits(plan)
    data = labelled(settings, folder, events)
    known: dict[str, FeatureSpace] = {}
    if encoder is not None:
        known[encoder] = encoder_space(settings, encoder, data, plan, device, events)
    if space_name not in known:
        known[space_name] = open_space(space_name, device=device, events=events)
    similarities = [
        CosineSimilarity(known[name]) if name in known else open_similarity(name, device=device, events=events)
        for name in names
    ]
    probed = (data, known[encoder]) if data is not None and encoder is not None else None
    judged = settings.classifier == DIGITS or (settings.classifier == "auto" and of_digits(plan))
    return Instruments(device, similarities, known[space_name], probed, judged and probed is None)


def labelled(settings: EvalPairsSettings, folder: Path, events: Events) -> Opened | None:
    """The encoder and the dataset of the probe; None if there is no dataset."""
    if settings.dataset is None or settings.encoder is None:
        return None
    probe = EvalLinearSettings(
        ckpt=settings.encoder,
        **settings.model_dump(include={"arch", "views", "dataset", "data_root", "convert_channels"}),
        **settings.model_dump(include={"seed", "device", "batch", "workers", "cache"}),
    )
    return opened(probe, "pairs", out=folder, events=events)


def encoder_space(
    settings: EvalPairsSettings, name: str, data: Opened | None, plan: Contents, device: torch.device, events: Events
) -> EncoderSpace:
    """The features of the encoder, for images of pairs, which are resized to those that it was trained on."""
    assert settings.encoder is not None
    file = encoder_file(settings.encoder)
    if not file.exists():
        raise DataError(f"There is no encoder {file}.", fix="Train one with copgen pretrain, or pass --encoder.")
    channels, height, width = plan.image_shape
    encoder = (
        encoders.load(
            settings.encoder, arch=settings.arch, views=settings.views, image_size=min(height, width), events=events
        ).to(device)
        if data is None
        else data.encoder
    )
    config = encoder.config
    if (config.in_channels, config.image_size, config.image_size) != plan.image_shape:
        events.say(
            f"Images of {height} x {width} pixels and {channels} channels are converted to {config.image_size} x "
            f"{config.image_size} and {config.in_channels} for the encoder."
        )
    return EncoderSpace(name, encoder, device, {file.name: sha256_of(file)})


def beside_pairs(pairs: Path, kind: str) -> Path:
    """The folder of results of this kind beside a pairs folder: `PAIRS-KIND`."""
    return pairs.parent / f"{pairs.name}-{kind}" if pairs.name not in ("", "..") else Path(f"pairs-{kind}")


def of_digits(plan: Contents) -> bool:
    """Whether the pairs are those of the generator of the embedded digits."""
    return isinstance(plan, Plan) and plan.generator.name == DIGITS and plan.image_shape == SHAPE


def check_digits(plan: Contents) -> None:
    """Refuse pairs that are not of the shape of the embedded digits (UsageError)."""
    if plan.image_shape != SHAPE:
        channels, height, width = plan.image_shape
        raise UsageError(
            f"The classifier of the embedded digits takes images of 8 x 8 pixels, grey; these have {height} x {width} "
            f"and {channels} channels.",
            fix="Pass --encoder and --dataset to classify them.",
        )
