"""The training images of a generator: all of a dataset, of one size, in memory as bytes.

Legend: N images of the dataset, K of a batch, C channels, S pixels a side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.data.batches import batches
from copgen.data.datasets import Images, open_dataset
from copgen.data.sampler import EpochSampler
from copgen.data.splits import AnySplit
from copgen.pairs.pixels import from_uint8, levels
from copgen.runtime import philox
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events
from copgen.runtime.sizes import size
from copgen.stages.generator.image_settings import FitImagesSettings

MOST_BYTES = 4 << 30


class TrainingImages:
    """Images by sample index: sample s is the same image, whatever the batch and wherever a run was resumed."""

    def __init__(self, pixels: Tensor, settings: FitImagesSettings, source: Images) -> None:
        self.pixels = pixels  # (N, C, S, S) uint8
        self.labels, self.classes, self.inputs = source.labels, source.classes, source.inputs
        self.channels, self.size = pixels.shape[1], pixels.shape[2]
        self._settings = settings
        self._sampler = EpochSampler(len(pixels), settings.seed)

    def __getitem__(self, samples: range) -> Tensor:
        """(K, C, S, S) float32 in [-1, 1], on the device of the pixels."""
        return from_uint8(self.levels(samples))

    def levels(self, samples: range) -> Tensor:
        """The same images as bytes, (K, C, S, S) uint8."""
        items = self._sampler[samples].to(self.pixels.device)
        images = self.pixels[items]
        if self._settings.mirror:
            stream = f"{self._settings.stream}/mirror"
            u = philox.uniform(self._settings.seed, samples, 1, stream=stream, device=images.device)
            images = torch.where(u[:, :, None, None] < 0.5, images.flip(3), images)
        return images


def open_split(settings: FitImagesSettings, split: AnySplit, events: Events | None = None) -> Images:
    """A split of the dataset; errors as `open_dataset`."""
    return open_dataset(settings.dataset, split, root=settings.data_root, events=events)


def image_size(settings: FitImagesSettings, source: Images) -> int:
    """S: the setting, or the size of the images.

    Raises:
        UsageError: the images have several sizes, are not square, or their size does not fit the networks.
    """
    if settings.image_size is not None:
        return settings.image_size
    fix = "Pass the size to which they are resized, such as --image-size 32."
    if source.size is None:
        raise UsageError(f"The images of {settings.dataset} may have different sizes.", fix=fix)
    height, width = source.size
    if height != width:
        raise UsageError(f"The images of {settings.dataset} are not square, but {height}x{width}.", fix=fix)
    try:
        settings.check_size(height)
    except ValueError as error:
        raise UsageError(f"The images of {settings.dataset} do not fit: {error}.", fix=fix) from None
    return height


def load_images(settings: FitImagesSettings, device: torch.device, events: Events | None = None) -> TrainingImages:
    """Read all training images.

    Raises:
        UsageError: as `image_size`; or they are too many to keep in memory.
        DataError: there are none, or fewer than a batch; errors of `open_dataset`.
    """
    source = open_split(settings, settings.split, events)
    return TrainingImages(read_pixels(settings, source).to(device), settings, source)


def read_pixels(settings: FitImagesSettings, source: Images, *, items: Tensor | None = None) -> Tensor:
    """The images (N, C, S, S) of a source, uint8; errors as `load_images`."""
    count = len(source) if items is None else len(items)
    if count < settings.batch and items is None:
        raise DataError(
            f"{settings.dataset} has {count:,} training images, fewer than a batch of {settings.batch:,}.",
            fix="Use more images, or lower --batch.",
        )
    side, channels = image_size(settings, source), settings.channels or source.channels
    if (needed := count * channels * side**2) > MOST_BYTES:
        raise UsageError(
            f"{count:,} images of {side}x{side} pixels take {size(needed)}; at most {size(MOST_BYTES)} are kept in "
            "memory.",
            fix="Use a part of the dataset, or a smaller --image-size.",
        )
    pixels = torch.empty(count, channels, side, side, dtype=torch.uint8)
    done = 0
    for images in batches(source, size=side, channels=channels, items=items):
        pixels[done : done + len(images)] = levels(images, rounding="nearest")
        done += len(images)
    return pixels
