"""The loader of images that are files: threads decode them; T_x runs on the device, or in the threads (on the CPU, and
with RandAugment).

Decoding releases the interpreter, so that threads do what worker processes do elsewhere, without copying images
between processes or importing PyTorch in each. An image that several views of a sample show is decoded once.

Legend: K samples, V views, S side of a view in pixels.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from copgen import views
from copgen.data.decoding import decode
from copgen.data.loaders.loader import Batch, LoaderConfig, labels_of, size_of_views, stream
from copgen.data.single_threaded import single_threaded
from copgen.data.source import EncodedImages
from copgen.pairs.pixels import from_uint8
from copgen.runtime.device_copies import to_device
from copgen.runtime.errors import DataError

SLICE = 8  # samples that a thread decodes or augments at a time


class DecodingLoader:
    """Views of `EncodedImages`, on the device; the workers are threads.

    Raises:
        UsageError: the images differ in size and the policy has none.
    """

    def __init__(self, config: LoaderConfig[EncodedImages]) -> None:
        size_of_views(config.source, config.policy)  # raises without one
        self.config = config
        self._threads = single_threaded(config.parallel)

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples."""
        of = self.config
        wanted, columns = of.sampler[samples].tolist(), of.source.columns(samples, of.count).tolist()
        read = self._threads.map(lambda part: self._decoded(wanted[part], columns[part]), _slices(len(samples)))
        rows = [row for part in read for row in part]
        items = torch.tensor([item for item, _ in rows])
        made = tuple(self._views([images[view] for _, images in rows], samples, view) for view in range(of.count))
        return Batch(made, labels_of(of.source, items, of.device))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _decoded(self, items: list[int], columns: list[list[int]]) -> list[tuple[int, list[Tensor]]]:
        """Of each sample the item and the images (C, H, W), uint8, that its views show."""
        return [self._images_of(item, shown) for item, shown in zip(items, columns, strict=True)]

    def _images_of(self, item: int, columns: list[int]) -> tuple[int, list[Tensor]]:
        """An item and its images; the next readable one, if one of them is unreadable and may be skipped."""
        while True:
            try:
                found = {column: self._image(item, column) for column in sorted(set(columns))}
                return item, [found[column] for column in columns]
            except DataError as error:
                item = self.config.skipped.instead_of(item, error, len(self.config.source))

    def _image(self, item: int, column: int) -> Tensor:
        source = self.config.source
        return decode(source.encoded(item, column), source.channels, source.where(item, column))

    def _views(self, images: list[Tensor], samples: range, view: int) -> Tensor:
        of = self.config
        draw = partial(views.draw, of.policy, seed=of.seed, rows=samples, stream=stream(view))
        # RandAugment goes from image to image: on a GPU, these are thousands of tiny kernels for each batch.
        if of.device.type == "cpu" or of.policy.rand_augment is not None:
            drawn = draw(size=of.source.size or torch.tensor([image.shape[1:] for image in images]))

            def augmented(part: slice) -> Tensor:
                return views.apply_each(images[part], of.policy, drawn.part(part))

            return to_device(torch.cat(list(self._threads.map(augmented, _slices(len(images))))), of.device)
        if of.source.size is None:
            here = [image.to(of.device) for image in images]
            return views.augment_each(here, of.policy, seed=of.seed, rows=samples, stream=stream(view))
        stacked = torch.stack(images)
        if of.device.type == "cuda":
            stacked = stacked.pin_memory().to(of.device, non_blocking=True)
        return views.apply(from_uint8(stacked), of.policy, draw(size=of.source.size, device=of.device))


def _slices(count: int) -> list[slice]:
    """What the threads do at a time."""
    return [slice(at, at + SLICE) for at in range(0, count, SLICE)]
