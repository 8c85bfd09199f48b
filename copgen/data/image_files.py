"""Images in files of their own, which a loader decodes: the source of image folders and of ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from copgen.data.colours import channels_of
from copgen.data.packed_names import PackedNames
from copgen.runtime.errors import DataError


class ImageFiles:
    """Images of a folder by item number, in a fixed order.

    Args:
        root: the folder.
        names: of the files, below it.
        labels: (N,) int64, or None without classes.
        classes: their names.
        digest: of names and sizes of all files of the folder.
        channels: 1 or 3; None: as `channels_of` finds.
    """

    size: tuple[int, int] | None = None

    def __init__(
        self,
        root: Path,
        names: PackedNames | Sequence[str],
        *,
        labels: Tensor | None,
        classes: tuple[str, ...],
        digest: str,
        channels: int | None = None,
    ) -> None:
        self.root = root
        self._names = names if isinstance(names, PackedNames) else PackedNames(names)
        self.labels = labels
        self.classes = classes
        self.inputs = {"images": digest}
        self.channels = channels or channels_of(self)

    def __len__(self) -> int:
        return len(self._names)

    def columns(self, samples: range, views: int) -> Tensor:
        """(K, views) zeros: every item is one image."""
        return torch.zeros(len(samples), views, dtype=torch.int64)

    def path(self, item: int) -> Path:
        """The file of an item."""
        return self.root / self._names[item]

    def encoded(self, item: int, column: int = 0) -> bytes:
        """The bytes of the file.

        Raises:
            DataError: it is missing or cannot be read; the error names it.
        """
        path = self.path(item)
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}.", fix="Check the disk and the permissions of the file."
            ) from None

    def where(self, item: int, column: int = 0) -> str:
        """How messages name an item."""
        return str(self.path(item))

    def select(self, rows: Tensor) -> ImageFiles:
        """The source of these items alone."""
        return ImageFiles(
            self.root,
            self._names.select(rows),
            labels=None if self.labels is None else self.labels[rows],
            classes=self.classes,
            digest=self.inputs["images"],
            channels=self.channels,
        )
