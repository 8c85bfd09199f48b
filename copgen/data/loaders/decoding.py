"""The loader of images that are files: threads decode them; T_x runs on the device, or on the CPU in the threads.

Decoding releases the interpreter, so that threads do what worker processes do elsewhere, without copying images
between processes or importing PyTorch in each. An image that several views of a sample show is decoded once.

Legend: K samples, V views, S side of a view in pixels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from copgen import views
from copgen.data.decoding import decode
from copgen.data.loaders.loader import Batch, stream
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.data.source import EncodedImages
from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import DataError

SLICE = 8  # samples that a thread augments at a time


class DecodingLoader:
    """Views of `EncodedImages`, on the device.

    Args:
        source: the images.
        sampler: of the run.
        policy: T_x; with a size, if those of the images differ.
        seed: of the run.
        count: views of each sample, V.
        device: where the views are needed.
        workers: threads; None: one for each CPU core of this process.
        skipped: unreadable images that are tolerated; None: none.
    """

    def __init__(
        self,
        source: EncodedImages,
        sampler: EpochSampler,
        policy: views.Policy,
        *,
        seed: int,
        count: int,
        device: torch.device,
        workers: int | None = None,
        skipped: Skipped | None = None,
    ) -> None:
        self.source, self.sampler, self.policy = source, sampler, policy
        self.seed, self.count, self.device = seed, count, device
        self.skipped = skipped or Skipped(0)
        self._threads = _single_threaded(workers or len(os.sched_getaffinity(0)))

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples."""
        items = self.sampler[samples]
        columns = self.source.columns(samples, self.count)
        slices = [slice(at, at + SLICE) for at in range(0, len(samples), SLICE)]
        if self.device.type == "cpu":
            work = [self._threads.submit(self._augmented, items[at], columns[at], samples[at]) for at in slices]
            made = [part.result() for part in work]
            together = tuple(torch.cat(parts) for parts in zip(*made, strict=True))
        else:
            decoded = list(self._threads.map(lambda part: self._decoded(items[part], columns[part]), slices))
            images = [[image for part in decoded for image in part[view]] for view in range(self.count)]
            together = tuple(self._views(images[view], samples, view) for view in range(self.count))
        labels = self.source.labels
        return Batch(together, None if labels is None else labels[items].to(self.device))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _augmented(self, items: Tensor, columns: Tensor, samples: range) -> list[Tensor]:
        images = self._decoded(items, columns)
        return [self._views(images[view], samples, view) for view in range(self.count)]

    def _decoded(self, items: Tensor, columns: Tensor) -> list[list[Tensor]]:
        """For each view, the images (C, H, W), uint8."""
        rows = [self._images_of(item, shown) for item, shown in zip(items.tolist(), columns.tolist(), strict=True)]
        return [list(images) for images in zip(*rows, strict=True)]

    def _images_of(self, item: int, columns: list[int]) -> list[Tensor]:
        """The images of an item; of the next readable one, if one of them is unreadable and may be skipped."""
        while True:
            try:
                found = {column: self._image(item, column) for column in sorted(set(columns))}
                return [found[column] for column in columns]
            except DataError as error:
                item = self.skipped.instead_of(item, error, len(self.source))

    def _image(self, item: int, column: int) -> Tensor:
        where = self.source.where(item, column)
        return decode(self.source.encoded(item, column), self.source.channels, where)

    def _views(self, images: Sequence[Tensor], samples: range, view: int) -> Tensor:
        augmented = partial(views.augment, policy=self.policy, seed=self.seed, rows=samples, stream=stream(view))
        if self.source.size is None:
            here = [image.to(self.device) for image in images]
            return views.augment_each(here, self.policy, seed=self.seed, rows=samples, stream=stream(view))
        stacked = torch.stack(list(images))
        if self.device.type == "cuda":
            stacked = stacked.pin_memory().to(self.device, non_blocking=True)
        return augmented(from_uint8(stacked))


def _single_threaded(count: int) -> ThreadPoolExecutor:
    """A pool whose threads each use one CPU thread in PyTorch; the caller's number is as before."""
    ours = torch.get_num_threads()
    started = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(1)  # of this thread, and of those that start later
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="load", initializer=begin)
    for _ in range(count):
        pool.submit(int)  # an idle thread would take a second one: none is idle before all have started
    started.wait()
    torch.set_num_threads(ours)
    return pool
