"""The training data of pretraining, opened by name: a pairs folder, or a dataset of real images."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor

from copgen.data.images import ImagePairs, load_dataset
from copgen.data.pairs import open_generated
from copgen.runtime.errors import UsageError


class Source(Protocol):
    """Pairs of images by item number."""

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of the images, so that a run is not resumed with others."""

    def batch(self, items: Tensor, samples: range) -> tuple[Tensor, Tensor]:
        """x and x' (K, C, H, W) in [-1, 1] of items (K,) at these sample indices of the run."""


def open_source(*, pairs: Path | None, dataset: str | None, seed: int) -> Source:
    """The training split of a dataset, else a pairs folder.

    Raises:
        DataError: a shard is missing, truncated or modified; the error names the file.
        UsageError: an unknown dataset, or neither pairs nor dataset.
    """
    if dataset is not None:
        return ImagePairs(load_dataset(dataset, "train").images)
    if pairs is None:
        raise UsageError("No training data was given.", fix="Pass a pairs folder with --pairs.")
    return open_generated(pairs, seed=seed)
