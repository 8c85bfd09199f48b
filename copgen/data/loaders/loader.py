"""The interface of a loader: the views of the samples of an update, as a pure function of their indices.

Sample s of a run is an item of the epoch's random order (data/sampler.py), and its views are drawn by (seed, s). So
what a loader returns does not depend on its workers, the number of ranks, or where a run was resumed.

Legend: K samples, V views of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from copgen import views
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.data.source import Source
from copgen.runtime.environment import own_cores
from copgen.runtime.errors import UsageError

SourceT_co = TypeVar("SourceT_co", bound=Source, covariant=True)


@dataclass(frozen=True, kw_only=True)
class LoaderConfig(Generic[SourceT_co]):
    """What a loader reads, and which views it makes of that.

    Attributes:
        source: the images.
        policy: T_x; with a size, if those of the images differ.
        seed: of the run; of the order of the epochs and of the views.
        count: views of each sample, V.
        device: where the views are needed.
        workers: threads or processes that read images; None: as many as `own_cores`.
        skipped: unreadable images that are tolerated; by default none.
    """

    source: SourceT_co
    policy: views.Policy
    seed: int
    count: int
    device: torch.device
    workers: int | None = None
    skipped: Skipped = field(default_factory=lambda: Skipped(0))

    @cached_property
    def sampler(self) -> EpochSampler:
        """The order of the items."""
        return EpochSampler(len(self.source), self.seed)

    @property
    def parallel(self) -> int:
        """The number of workers."""
        return self.workers or own_cores()


@dataclass(frozen=True)
class Batch:
    """The views of K samples, on the device.

    Attributes:
        views: V tensors (K, C, S, S), float32, as the policy makes them; the anchors' first.
        labels: the class of each sample, (K,) int64; None if unknown.
    """

    views: tuple[Tensor, ...]
    labels: Tensor | None


class Loader(Protocol):
    """Batches by their sample indices."""

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples of the run.

        Raises:
            DataError: an image cannot be read; names it.
        """

    def close(self) -> None:
        """End its workers."""


def stream(view: int) -> str:
    """The name of the random stream of a view, from 0: views/anchor, views/positive, views/positive-1, ..."""
    return "views/anchor" if view == 0 else "views/positive" if view == 1 else f"views/positive-{view - 1}"


def size_of_views(source: Source, policy: views.Policy) -> tuple[int, int]:
    """(height, width) of the views of a source's images, pixels.

    Raises:
        UsageError: the images have different sizes, and the policy keeps them.
    """
    if policy.size is not None:
        return policy.size, policy.size
    if source.size is None:
        raise UsageError(
            f"The images have different sizes, and the view policy '{policy.name}' keeps them.",
            fix="Give the size of the views.",
        )
    return source.size


def labels_of(source: Source, items: Tensor, device: torch.device) -> Tensor | None:
    """The class of each of these items (K,), on the device; None if unknown."""
    return None if source.labels is None else source.labels[items].to(device)
