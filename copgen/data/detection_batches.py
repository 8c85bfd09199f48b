"""Batches of photos with boxes, in random sizes, for training a detector, as detectron2 makes them.

Each image is resized so that its shorter side is one of several, and flipped with probability 1/2. Upright and wide
images are in different batches, so that little is padded. Which images are in which batch, their sizes and flips are
functions of the seed and of the number of the update or sample.

Legend: N images of the data, K of a batch over all ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen import views
from copgen.data.objects import Array
from copgen.data.sampler import EpochSampler
from copgen.data.voc import VocImages
from copgen.runtime import philox
from copgen.views.policies import Policy

AHEAD = 2  # batches


@dataclass(frozen=True)
class DetectionBatch:
    """Images and boxes.

    Attributes:
        images: (K, C, H, W) float32, normalised, each in the upper left corner; zeros beyond it.
        sizes: height and width of each image, pixels.
        targets: `boxes` (G, 4) and `labels` (G,) of each.
        samples: the sample index of each.
    """

    images: Tensor
    sizes: list[tuple[int, int]]
    targets: list[dict[str, Tensor]]
    samples: range


def shape_for(size: tuple[int, int], *, side: int, longest: int) -> tuple[int, int]:
    """Height and width after resizing: the shorter side is `side`, unless the longer one would exceed `longest`."""
    scale = side / min(size)
    if scale * max(size) > longest:
        scale = longest / max(size)
    height, width = (max(1, int(scale * length + 0.5)) for length in size)
    return height, width


def grouped(wide: Tensor, *, seed: int, batch: int, updates: int) -> Tensor:
    """The items (updates, K) of each batch.

    Epochs in random order pass through two queues, of wide and of other images; a queue that has K makes a batch. So a
    batch does not depend on the number of updates.

    Args:
        wide: (N,) bool.
        seed: of the run.
        batch: K.
        updates: batches.
    """
    length = updates * batch + 2 * (batch - 1)  # what may wait in the queues
    items = EpochSampler(len(wide), seed)[range(length)]
    groups, last = [], []
    for of_group in (wide[items], ~wide[items]):
        places = of_group.nonzero()[:, 0]
        full = places[: len(places) // batch * batch].view(-1, batch)
        groups.append(items[full])
        last.append(full[:, -1])
    order = torch.argsort(torch.cat(last))[:updates]
    return torch.cat(groups)[order]


class DetectionLoader:
    """The batches of a run by the number of their update; threads prepare the next ones.

    Args:
        source: the images.
        policy: whose normalisation the network expects.
        channels: of the images for the network, 1 or 3.
        seed, batch, updates: of the run; K is over all ranks.
        sides: shorter sides, pixels.
        longest: longer side at most, pixels.
        divisor: padded sides are multiples of it.
        rank, world: this rank's share of each batch.
        device: of the batches.
        workers: threads.
    """

    def __init__(
        self,
        source: VocImages,
        policy: Policy,
        *,
        channels: int,
        seed: int,
        batch: int,
        updates: int,
        sides: Sequence[int],
        longest: int,
        divisor: int,
        rank: int,
        world: int,
        device: torch.device,
        workers: int,
    ) -> None:
        self.source, self.policy, self.channels, self.device = source, policy, channels, device
        self.seed, self.batch, self.sides, self.longest, self.divisor = seed, batch, tuple(sides), longest, divisor
        self.own = range(batch)[rank * (batch // world) : (rank + 1) * (batch // world)]
        sizes = torch.from_numpy(source.sizes)
        self.items = grouped(sizes[:, 1] > sizes[:, 0], seed=seed, batch=batch, updates=updates)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="detection")
        self._coming: deque[tuple[int, list[Future[Tensor]]]] = deque()

    def __getitem__(self, update: int) -> DetectionBatch:
        """The batch of an update, this rank's share.

        Raises:
            DataError: an image that cannot be read.
        """
        while self._coming and self._coming[0][0] != update:
            for future in self._coming.popleft()[1]:
                future.cancel()
        for following in range(update + len(self._coming), min(update + 1 + AHEAD, len(self.items))):
            shapes, flips = self._drawn(following)
            futures = [
                self._threads.submit(self._pixels, int(self.items[following, k]), shapes[k], flips[k]) for k in self.own
            ]
            self._coming.append((following, futures))
        return self._collated(update, [future.result() for future in self._coming.popleft()[1]])

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _drawn(self, update: int) -> tuple[list[tuple[int, int]], list[bool]]:
        """Size and flip of all K images."""
        samples = range(update * self.batch, (update + 1) * self.batch)
        u = philox.uniform(self.seed, samples, 2, stream="detect/augment")
        chosen = (u[:, 0] * len(self.sides)).long().tolist()
        shapes = []
        for item, choice in zip(self.items[update].tolist(), chosen, strict=True):
            height, width = self.source.sizes[item].tolist()
            shapes.append(shape_for((height, width), side=self.sides[choice], longest=self.longest))
        return shapes, (u[:, 1] < 0.5).tolist()

    def _pixels(self, item: int, shape: tuple[int, int], flip: bool) -> Tensor:
        pixels = resized(self.source.pixels(item, self.channels), shape)
        return pixels.flip(2) if flip else pixels

    def _collated(self, update: int, pixels: list[Tensor]) -> DetectionBatch:
        shapes, flips = self._drawn(update)
        # Padded to the largest image of all ranks: batch norms count the padding, so all ranks have equally many rows.
        sides = [-(-max(lengths) // self.divisor) * self.divisor for lengths in zip(*shapes, strict=True)]
        images = torch.zeros(len(pixels), self.channels, *sides, device=self.device)
        targets = []
        for place, (k, one) in enumerate(zip(self.own, pixels, strict=True)):
            images[place, :, : one.shape[1], : one.shape[2]] = normalised(one.to(self.device), self.policy)
            item = int(self.items[update, k])
            objects = self.source.objects_of(item)
            boxes = moved(objects.box, self.source.sizes[item], shapes[k], flip=flips[k])
            targets.append(
                {
                    "boxes": torch.from_numpy(boxes).to(self.device),
                    "labels": torch.from_numpy(objects.label).to(self.device),
                }
            )
        first = update * self.batch
        return DetectionBatch(
            images, [shapes[k] for k in self.own], targets, range(first + self.own.start, first + self.own.stop)
        )


def resized(pixels: Array, shape: tuple[int, int]) -> Tensor:
    """(H, W, C) uint8 resized to height and width of `shape`, (C, h, w) uint8; bilinear, rounded as Pillow does."""
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return F.interpolate(image, size=shape, mode="bilinear", antialias=True, align_corners=False)[0]


def normalised(pixels: Tensor, policy: Policy) -> Tensor:
    """(C, H, W) uint8 as the network expects it, float32."""
    return views.plain(pixels[None].float() / 127.5 - 1.0, policy)[0]


def moved(boxes: Array, size: Array, shape: tuple[int, int], *, flip: bool) -> Array:
    """Boxes (G, 4) of an image of `size` after it was resized to `shape`, and flipped; height and width."""
    scale = np.array([shape[1] / size[1], shape[0] / size[0]] * 2)
    found: Array = boxes * scale
    if flip:
        found[:, [0, 2]] = shape[1] - found[:, [2, 0]]
    return found.astype(np.float32)
