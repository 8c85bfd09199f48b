"""What an evaluation starts from: an encoder, the three splits of a labelled dataset, and how its images are prepared.

Images of a dataset with one size are resized to the size of the encoder's training images. Those of other datasets are
photos: the shorter side is resized to size / 0.875, and the centre is cropped (the authors: 146 and 128 pixels).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import encoders
from copgen.data.batches import batches
from copgen.data.datasets import Images, needs_labels, open_dataset
from copgen.data.image_folder import listed_once
from copgen.data.splits import SPLITS, Split
from copgen.encoders import Encoder
from copgen.encoders.encoder import encoder_file
from copgen.encoders.foreign import is_foreign
from copgen.encoders.foreign.reading import SIZE
from copgen.evaluation.feature_cache import cached
from copgen.evaluation.feature_choices import FeatureChoices
from copgen.evaluation.features import embedded
from copgen.evaluation.labels import check_labels
from copgen.evaluation.parts import Parts
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device, versions
from copgen.stages.eval.finished_result import key_of
from copgen.stages.eval.provenance import hashes
from copgen.stages.eval.settings.common import EncoderSettings, EvalSettings, PreparedSettings
from copgen.storage.files import sha256_of

FORMAT = 1
CENTRE = 0.875  # side of the central crop, as a fraction of the shorter side
SPEED = {"ckpt", "dataset", "data_root", "out", "device", "batch", "workers", "cache"}  # not what results depend on
SHOWN_FROM = 5000  # images, from which on extraction has a progress bar


@dataclass(frozen=True)
class Opened:
    """An encoder and its data.

    Attributes:
        settings: of the evaluation.
        name: of the dataset.
        encoder: on the device.
        sources: the images of each split, with labels.
        classes: names, in the order of the labels.
        size: side of the images for the encoder, pixels.
        resize: shorter side before the central crop; None: the image is resized to its size.
        features_folder: where features are kept.
        events: receives the progress of the extraction.
    """

    settings: PreparedSettings
    name: str
    encoder: Encoder
    device: torch.device
    sources: dict[Split, Images]
    classes: tuple[str, ...]
    size: int
    resize: int | None
    features_folder: Path
    events: Events

    @property
    def channels(self) -> int | None:
        """To which images are converted; None: they have those of the encoder."""
        wanted = self.encoder.config.in_channels
        return None if self.sources["train"].channels == wanted else wanted

    @cached_property
    def sha256(self) -> str:
        """Of the encoder's file."""
        return sha256_of(encoder_file(self.settings.ckpt))

    def labels(self, split: Split) -> Tensor:
        """(N,) int64."""
        labels = self.sources[split].labels
        assert labels is not None
        return labels

    def features(self, split: Split, choices: FeatureChoices | None = None) -> Tensor:
        """(N, D) float32 on the CPU, in the order of the labels; extracted once for an encoder and its data.

        Args:
            split: which images.
            choices: of features; None: the average pool.

        Raises:
            DataError: an unreadable image, or non-finite features.
        """
        source = self.sources[split]
        if not (self.settings.cache and source.inputs):  # embedded data are quicker to extract than to hash
            return self._extracted(split, choices, None)
        encoder = encoder_identity(self.encoder, self.sha256)
        key = {**self.preparation(), "encoder": encoder, "data": source.inputs, "split": split}
        if choices is not None:
            key["features"] = choices.names
        digest = hashlib.sha256(json.dumps({**key, "device": self.device.type}, sort_keys=True).encode()).hexdigest()
        file = self.features_folder / f"{split}-{digest[:20]}.safetensors"
        shape = (len(source), choices.dim if choices else self.encoder.feature_dim)
        parts = Parts(file.with_suffix(".parts"), digest)
        found = cached(file, shape, lambda: self._extracted(split, choices, parts), key=digest, events=self.events)
        parts.remove()
        return found

    def preparation(self) -> dict[str, Any]:
        """How images are prepared, for the results."""
        return {"size": self.size, "resize": self.resize, "channels": self.encoder.config.in_channels}

    def key(self, kind: str) -> str:
        """A hash of everything that determines the results, to resume what has it."""
        return key_of({**self.document(kind), "settings": self.settings.model_dump(mode="json", exclude=SPEED)})

    def document(self, kind: str) -> dict[str, Any]:
        """The part of `results.json` that all evaluations have: data, encoder, provenance."""
        return {
            "format": FORMAT,
            "kind": kind,
            "seed": self.settings.seed,
            "dataset": {
                "name": self.name,
                "classes": len(self.classes),
                "images": {split: len(self.sources[split]) for split in SPLITS},
            },
            "images": self.preparation(),
            "inputs": self.sources["train"].inputs
            | {f"{k} {name}": v for k in ("validation", "test") for name, v in self.sources[k].inputs.items()},
            "encoder": encoder_document(self.encoder, self.sha256),
            "device": self.device.type,
            "versions": versions(),
        }

    def images(self, source: Images, *, items: Tensor | None = None, batch: int | None = None) -> Iterator[Tensor]:
        """Batches (K, C, S, S) in [-1, 1], prepared for the encoder, on the device.

        Args:
            source: the images.
            items: (N,) which of them; None: all.
            batch: K; None: that of the settings.
        """
        return batches(
            source,
            size=self.size,
            shorter_side=self.resize,
            channels=self.channels,
            batch=batch or self.settings.batch,
            items=items,
            device=self.device,
            workers=self.settings.workers,
        )

    def _extracted(self, split: Split, choices: FeatureChoices | None, parts: Parts | None) -> Tensor:
        """The features, those that are in parts already, and written there as they are made."""
        source = self.sources[split]
        features = torch.empty(len(source), choices.dim if choices else self.encoder.feature_dim)
        done = 0 if parts is None else parts.resume(features)
        if done:
            self.events.say(f"Resuming after the features of {done:,} of {len(source):,} images of {split}.")
        images = self.images(source, items=torch.arange(done, len(source)))
        events = self.events if len(source) >= SHOWN_FROM else Silent()
        events.begin(f"features of {split}", total=len(source), unit="images", done=done)
        try:
            for some in embedded(choices or self.encoder, images, self.device):
                features[done : done + len(some)] = some
                done += len(some)
                if parts is not None:
                    parts.reached(features, done)
                events.advance(done, {})
        finally:
            events.end()
        return features


def opened(settings: EvalSettings, kind: str, *, out: Path | str | None, events: Events) -> Opened:
    """Open the data and the encoder of an evaluation, and check that they fit.

    Args:
        settings: of the evaluation.
        kind: the name of its folder, such as 'linear'.
        out: the folder of the results, if not that of the settings.
        events: is told what is converted or resized.

    Raises:
        UsageError: an unknown dataset, data without classes or test split, other channels than the encoder's.
        DataError: an encoder that fails verification; an empty split; labels out of range, or of unknown classes.
        EnvironmentFault: no such device.
    """
    sources, classes = open_splits(settings.dataset, root=settings.data_root, events=events)
    return prepared(settings, kind, sources, classes, name=settings.dataset, out=out, events=events)


def open_splits(dataset: str, *, root: Path | None, events: Events) -> tuple[dict[Split, Images], tuple[str, ...]]:
    """The images of each split, with labels, and the names of the classes; arguments and errors as `open_dataset`.

    Raises:
        UsageError: data without classes.
        DataError: an empty split; labels out of range, or of unknown classes.
    """
    sources: dict[Split, Images] = {}
    with listed_once():
        for split in SPLITS:
            source = open_dataset(dataset, split, root=root, events=events)
            sources[split] = needs_labels(source, dataset, "Evaluation")
    labels = {split: source.labels for split, source in sources.items()}
    return sources, check_labels(labels, sources["train"].classes, dataset=dataset)


def prepared(
    settings: PreparedSettings,
    kind: str,
    sources: dict[Split, Images],
    classes: tuple[str, ...],
    *,
    name: str,
    out: Path | str | None,
    events: Events,
) -> Opened:
    """`opened`, with data that are open already.

    Args:
        settings, kind, out, events: as `opened`.
        sources: the images of each split.
        classes: names, in the order of the labels.
        name: of the dataset.
    """
    data = sources["train"]
    encoder, device = open_encoder(settings, data.channels, data.size, name=name, events=events)
    size = settings.size or encoder.config.image_size
    resize = settings.resize or (None if data.size else round(size / CENTRE))
    if resize is not None and resize < size:
        raise UsageError(
            f"resize = {resize} is smaller than the images of {size} pixels that are cropped from it.",
            fix=f"Pass at least {size}.",
        )
    if resize is not None:
        events.say(f"Images are resized to a shorter side of {resize} pixels, of which the central {size} are taken.")
    elif data.size is not None and data.size != (size, size):
        events.say(f"Images of {data.size[0]} x {data.size[1]} pixels are resized to {size} x {size} for the encoder.")
    features = results_file(settings, kind, out).parent
    folder = features if out or settings.out else features.parent
    return Opened(settings, name, encoder, device, sources, classes, size, resize, folder / "features", events)


def open_encoder(
    settings: EncoderSettings, channels: int, size: tuple[int, int] | None, *, name: str, events: Events
) -> tuple[Encoder, torch.device]:
    """The encoder of an evaluation and its device, for images of this kind.

    Args:
        settings: of the evaluation.
        channels: of the images.
        size: (height, width) of every image, pixels; None if they differ.
        name: of the data.
        events: is told what is converted.

    Raises:
        UsageError: other channels than the encoder's, and their conversion is not asked for.
        DataError, EnvironmentFault: as `opened`.
    """
    device = resolve_device(settings.device)
    # A foreign file does not say the size of its training images.
    otherwise = settings.size or (SIZE if size is None else min(size))
    encoder = encoders.load(
        settings.ckpt, arch=settings.arch, views=settings.views, image_size=otherwise, events=events
    ).to(device)
    check_channels(encoder, channels, size, convert=settings.convert_channels, name=name, events=events)
    return encoder, device


def check_channels(
    encoder: Encoder, channels: int, size: tuple[int, int] | None, *, convert: bool, name: str, events: Events
) -> None:
    """Refuse images with other channels than the encoder's, unless they may be converted.

    Args:
        encoder: of the evaluation.
        channels, size, name, events: as `open_encoder`.
        convert: whether their conversion is asked for.

    Raises:
        UsageError: they do not fit.
    """
    wanted = encoder.config.in_channels
    if channels == wanted:
        return
    sides = "images" if size is None else f"{size[0]} pixels"
    how = "repeat the grey channel" if channels == 1 else "convert colours to grey"
    if not convert or wanted not in (1, 3):
        raise UsageError(
            f"The encoder takes images of {encoder.config.image_size} pixels with {wanted} channels; "
            f"dataset '{name}' has {sides} and {channels} channels.",
            fix=f"Pass --convert-channels to {how}, or choose another dataset or another encoder.",
        )
    events.say(f"The images have {channels} channels, and the encoder takes {wanted}: they are converted.")


def encoder_identity(encoder: Encoder, sha256: str) -> dict[str, Any]:
    """What decides the features of an encoder: its file, architecture and normalisation (in no foreign file)."""
    return {"sha256": sha256, "config": encoder.config.model_dump(mode="json")}


def encoder_document(encoder: Encoder, sha256: str) -> dict[str, Any]:
    """The encoder in `results.json`: the hash of its file, its shape, how it was made, and from what."""
    return {
        **encoder_identity(encoder, sha256),
        "feature_dim": encoder.feature_dim,
        "made_by": encoder.made_by,
        "provenance": hashes(sha256, encoder.made_by),
    }


def results_file(settings: EncoderSettings, kind: str, out: Path | str | None = None) -> Path:
    """The file of the results: in `out`, the settings' folder, or beside the encoder."""
    return Path(out or settings.out or beside(settings.ckpt, kind)) / "results.json"


def beside(ckpt: Path, kind: str) -> Path:
    """The folder of an evaluation beside the encoder, `eval/KIND`.

    A foreign file has a folder of its own, `eval/NAME/KIND`, as a folder of downloads may hold several.
    """
    file = encoder_file(ckpt)
    return file.parent / "eval" / (file.name if is_foreign(file) else "") / kind
