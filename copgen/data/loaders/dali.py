"""The loader of images that are files, with NVIDIA DALI: it decodes and augments, on the GPU where there is one.

copgen reads the files and draws position and parameters, so a batch is the same function of its sample indices as with
the other loaders. An image that all views of a sample show is decoded once.

Legend: K samples, V views.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from copgen import views
from copgen.data.decoding import decode, read_header
from copgen.data.loaders.loader import Batch, LoaderConfig, labels_of, size_of_views, stream
from copgen.data.source import EncodedImages
from copgen.runtime.errors import DataError
from copgen.views.dali import DaliViews, GraphFailed


class _File(NamedTuple):
    data: bytes
    size: tuple[int, int]


class DaliLoader:
    """Views of `EncodedImages`, on the device: on "cuda" DALI decodes and augments there. The workers are CPU threads.

    Raises:
        UsageError: DALI cannot make the policy's views, or the images differ in size and the policy has none.
        EnvironmentFault: DALI is not installed, or cannot start.
    """

    def __init__(self, config: LoaderConfig[EncodedImages]) -> None:
        self.config = config
        self.size = size_of_views(config.source, config.policy)
        self._readers = ThreadPoolExecutor(config.parallel, thread_name_prefix="read")
        self._graphs: dict[int, DaliViews] = {}
        self._graph(streams=1, samples=1)  # raises if DALI cannot run

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples."""
        try:
            items, made = self._views(samples, checked=False)
        except GraphFailed:
            self._graphs.clear()
            items, made = self._repeated(samples)
        return Batch(made, labels_of(self.config.source, items, self.config.device))

    def close(self) -> None:
        """End the threads, and free what DALI holds."""
        self._readers.shutdown(cancel_futures=True)
        self._graphs.clear()

    def _repeated(self, samples: range) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The views after a failure, which DALI does not pin to an image: Pillow finds and names it."""
        try:
            return self._views(samples, checked=True)
        except GraphFailed as failure:
            self._graphs.clear()
            raise DataError(
                f"DALI cannot decode an image of samples {samples.start} to {samples.stop - 1}; Pillow can: {failure}",
                fix="Use --loader torch.",
            ) from None

    def _views(self, samples: range, *, checked: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The items (K,) that the samples show, and their views."""
        of = self.config
        columns = of.source.columns(samples, of.count)
        shared = bool((columns == columns[:, :1]).all())
        shown = (columns[:, :1] if shared else columns).tolist()
        reading = partial(self._read, checked=checked)
        items, files = zip(*self._readers.map(reading, of.sampler[samples].tolist(), shown), strict=True)
        streams = list(zip(*files, strict=True))
        sizes = [torch.tensor([file.size for file in stream]) for stream in streams]
        graph = self._graph(streams=len(streams), samples=len(samples))
        drawn = [
            views.draw(of.policy, seed=of.seed, rows=samples, stream=stream(view), size=sizes[view % len(sizes)])
            for view in range(of.count)
        ]
        return torch.tensor(items), graph([[file.data for file in stream] for stream in streams], sizes, drawn)

    def _read(self, item: int, columns: list[int], checked: bool) -> tuple[int, list[_File]]:
        """The item and its files; those of the next readable one, if one of them is unreadable and may be skipped."""
        skipped = self.config.skipped
        while True:
            try:
                decodes = checked or item in skipped.reasons
                return item, [self._file(item, column, decodes=decodes) for column in columns]
            except DataError as error:
                item = skipped.instead_of(item, error, len(self.config.source))

    def _file(self, item: int, column: int, *, decodes: bool) -> _File:
        source = self.config.source
        data, where = source.encoded(item, column), source.where(item, column)
        if decodes:
            decode(data, source.channels, where)
        header = read_header(data, where)  # what `decode` refuses is refused here too
        return _File(data, (header.height, header.width))

    def _graph(self, *, streams: int, samples: int) -> DaliViews:
        """A graph for so many streams and samples; kept, because building one takes a while."""
        if streams not in self._graphs or self._graphs[streams].batch < samples:
            of = self.config
            self._graphs[streams] = DaliViews(
                of.policy,
                channels=of.source.channels,
                size=self.size,
                streams=streams,
                views=of.count,
                batch=samples,
                device=of.device,
                threads=of.parallel,
            )
        return self._graphs[streams]
