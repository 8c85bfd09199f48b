"""The real images that generated ones are compared with, and their features.

They come in a random order, the same for all generators and seeds, so that fewer are the first of more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from copgen.data.batches import batches
from copgen.data.datasets import Images, channels_of, open_dataset
from copgen.evaluation.generation.feature_chunks import Chunks, Store
from copgen.evaluation.generation.scoring import FEWEST
from copgen.evaluation.spaces import FeatureSpace
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.stages.eval.generated import Generated, digest, identity
from copgen.stages.eval.settings.generator import EvalGeneratorSettings


@dataclass(frozen=True)
class Real:
    """Real images in a random order that depends on the dataset alone.

    Attributes:
        settings: of the evaluation.
        images: the split.
        size: side to which images are brought: the shorter side is resized, and the centre cropped.
        channels: to which they are converted; None: as they are.
        count: how many are taken.
        device: of the features.
    """

    settings: EvalGeneratorSettings
    images: Images
    size: int
    channels: int | None
    count: int
    device: torch.device

    def features(self, spaces: list[FeatureSpace], store: Store) -> list[Chunks]:
        """Their features in each space; only their first `count` in the random order."""
        settings = self.settings
        order = philox.permutation(0, len(self.images), stream="eval/real-images")

        def some(rows: range) -> Iterator[Tensor]:
            return batches(
                self.images,
                size=self.size,
                channels=self.channels,
                items=order[rows.start : rows.stop],
                batch=settings.batch,
                device=self.device,
                workers=settings.workers,
            )

        key: dict[str, Any] = {
            "size": self.size,
            "channels": self.channels,
            "split": settings.split,
            "images": len(self.images),
        }
        key |= {"data": self.images.inputs or settings.dataset}
        keys = {digest({**key, **identity(space, self.device)}): space for space in spaces}
        return store.features("features of real images", some, self.count, keys)

    def document(self) -> dict[str, Any]:
        """For `results.json`."""
        return {
            "name": self.settings.dataset,
            "split": self.settings.split,
            "images": self.count,
            "of": len(self.images),
            "size": self.size,
            "channels": self.channels or self.images.channels,
            "inputs": self.images.inputs,
        }


def open_real(settings: EvalGeneratorSettings, generated: Generated, events: Events) -> Real:
    """Open the real images, and check that they fit the generated ones.

    Raises:
        UsageError: an unknown dataset, other channels than the generated images, or too few images.
        DataError: not found, empty or damaged.
    """
    channels = generated.plan.image_shape[0]
    _check_channels(settings, channels, channels_of(settings.dataset))  # before a download, and before all is decoded
    images = open_dataset(settings.dataset, settings.split, root=settings.data_root, events=events)
    _check_channels(settings, channels, images.channels)
    count = min(settings.real_n or len(images), len(images))
    if settings.real_n is not None and settings.real_n > len(images):
        raise UsageError(
            f"{settings.real_n:,} real images were asked for; '{settings.dataset}' has {len(images):,}.",
            fix=f"Pass --real-n {len(images)} or less.",
        )
    if count < FEWEST:
        raise UsageError(
            f"Dataset '{settings.dataset}' gives {count} real images.", fix=f"Scores need at least {FEWEST}."
        )
    if images.size != (generated.side, generated.side):
        events.say(f"Real images are resized to a shorter side of {generated.side} pixels, and cropped at the centre.")
    converted = channels if images.channels != channels else None
    return Real(settings, images, generated.side, converted, count, generated.device)


def _check_channels(settings: EvalGeneratorSettings, channels: int, real: int | None) -> None:
    """Refuse real images with other channels than the generated ones, unless they may be converted (UsageError)."""
    if real not in (None, channels) and not settings.convert_channels:
        raise UsageError(
            f"The generated images have {channels} channels; dataset '{settings.dataset}' has {real}.",
            fix="Choose the dataset that the generator imitates with --dataset, or pass --convert-channels.",
        )
