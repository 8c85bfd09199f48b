"""What pretraining learns from: items, each with one or more images of the same thing.

An item of a pairs folder is an anchor (column 0) and its positives (columns 1, 2, ...); an item of a dataset of real
images is one image, of which all views are made. Images are files that a loader decodes (`EncodedImages`), or tensors
(`DecodedImages`).

Legend: N items, K samples of a batch, V views of each sample.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, device


class Source(Protocol):
    """Items by number, 0 to N - 1.

    Attributes:
        channels: of every image, 1 or 3.
        size: (height, width) of every image, pixels; None if they differ.
        labels: the class of each item, (N,) int64; None if unknown.
        classes: the names of the classes, in the order of their numbers; empty if unknown.
        inputs: hashes of what is read, so that a run is not resumed with other data.
    """

    channels: int
    size: tuple[int, int] | None
    labels: Tensor | None
    classes: tuple[str, ...]
    inputs: dict[str, str]

    def __len__(self) -> int: ...

    def columns(self, samples: range, views: int) -> Tensor:
        """(K, V) int64: the column of its item that each view of a sample shows.

        Args:
            samples: K sample indices of the run.
            views: V.

        Raises:
            UsageError: an item has fewer images than views.
        """


@runtime_checkable
class EncodedImages(Source, Protocol):
    """Images as files."""

    def encoded(self, item: int, column: int) -> bytes:
        """The file of an image; may be called from several threads.

        Raises:
            DataError: it is missing or damaged; names file and image.
        """

    def where(self, item: int, column: int) -> str:
        """The image's name in messages."""


@runtime_checkable
class DecodedImages(Source, Protocol):
    """Images as tensors."""

    def batch(self, items: Tensor, columns: Tensor, device: device) -> Tensor:
        """(K, C, H, W) float32 in [-1, 1], on the device.

        Args:
            items: (K,) int64.
            columns: (K,) int64, of each item.
        """
