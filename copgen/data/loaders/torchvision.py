"""The loader of the plain recipe, for comparison: PIL and torchvision in worker processes, with copgen's parameters.

Workers are forked, as in PyTorch's DataLoader, and get no more than numbers; each reads its own files.

Legend: K samples, V views.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.multiprocessing
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from copgen import views
from copgen.data.decoding import decode
from copgen.data.loaders.loader import Batch, LoaderConfig, labels_of, size_of_views, stream
from copgen.data.source import EncodedImages
from copgen.distributed.children import end_with_parent
from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.views.on_pil import check_policy, view_of

SLICE = 8  # samples of one task


class _Unreadable(NamedTuple):
    sample: int
    what: str
    fix: str


@dataclass(frozen=True)
class _Recipe:
    """What a worker knows."""

    source: EncodedImages
    policy: views.Policy
    seed: int

    def made(self, samples: list[int], items: list[int], columns: list[list[int]]) -> list[Tensor] | _Unreadable:
        """For each view (K, C, S, S), or the first sample whose image is unreadable."""
        rows = []
        for sample, item, shown in zip(samples, items, columns, strict=True):
            try:
                pictures = {column: self._picture(item, column) for column in set(shown)}
            except DataError as error:
                return _Unreadable(sample, error.what, error.fix)
            rows.append([pictures[column] for column in shown])
        return [self._views(pictures, samples, view) for view, pictures in enumerate(zip(*rows, strict=True))]

    def _picture(self, item: int, column: int) -> Image.Image:
        pixels = decode(self.source.encoded(item, column), self.source.channels, self.source.where(item, column))
        picture: Image.Image = to_pil_image(pixels)
        return picture

    def _views(self, pictures: Sequence[Image.Image], samples: list[int], view: int) -> Tensor:
        sizes = torch.tensor([(picture.height, picture.width) for picture in pictures])
        drawn = views.draw(self.policy, seed=self.seed, rows=samples, stream=stream(view), size=sizes)
        return torch.stack([view_of(picture, self.policy, drawn.row(n)) for n, picture in enumerate(pictures)])


class TorchvisionLoader:
    """Views of `EncodedImages`, on the device; the workers are processes.

    Raises:
        UsageError: PIL cannot make the policy's views, or the images differ in size and the policy has none.
    """

    def __init__(self, config: LoaderConfig[EncodedImages]) -> None:
        check_policy(config.policy)
        size_of_views(config.source, config.policy)  # raises without one
        self.config = config
        fork = torch.multiprocessing.get_context("fork")
        recipe = _Recipe(config.source, config.policy, config.seed)
        self._workers = ProcessPoolExecutor(config.parallel, mp_context=fork, initializer=_begin, initargs=(recipe,))
        self._workers.submit(int)  # forks here, before the caller starts threads

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples.

        Raises:
            EnvironmentFault: a worker process ended.
        """
        of = self.config
        items, columns = of.sampler[samples].tolist(), of.source.columns(samples, of.count).tolist()
        try:
            slices = list(self._slices(samples, items, columns))
        except BrokenProcessPool:
            raise EnvironmentFault(
                "A worker process of the loader ended, perhaps because the memory ran out.", fix="Lower --workers."
            ) from None
        made = tuple(torch.cat(parts).to(of.device) for parts in zip(*slices, strict=True))
        return Batch(made, labels_of(of.source, torch.tensor(items), of.device))

    def close(self) -> None:
        """End the processes."""
        self._workers.shutdown(cancel_futures=True)

    def _slices(self, samples: range, items: list[int], columns: list[list[int]]) -> Iterator[list[Tensor]]:
        """The views of a few samples at a time; `items` becomes those that they show."""
        parts = [slice(at, at + SLICE) for at in range(0, len(samples), SLICE)]
        coming = [self._workers.submit(_made, list(samples[part]), items[part], columns[part]) for part in parts]
        for part, future in zip(parts, coming, strict=True):
            made = future.result()
            while isinstance(made, _Unreadable):
                at, error = made.sample - samples.start, DataError(made.what, fix=made.fix)
                items[at] = self.config.skipped.instead_of(items[at], error, len(self.config.source))
                made = self._workers.submit(_made, list(samples[part]), items[part], columns[part]).result()
            yield made


_recipe: list[_Recipe] = []  # of a worker process


def _begin(recipe: _Recipe) -> None:
    # A signal to all processes, from a terminal or a cluster, is the parent's to answer: it finishes its update first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    torch.set_num_threads(1)
    _recipe[:] = [recipe]


def _made(samples: list[int], items: list[int], columns: list[list[int]]) -> list[Tensor] | _Unreadable:
    return _recipe[0].made(samples, items, columns)
