"""One shard, open for reading: images and metadata at known offsets, checked before they are decoded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from copgen.pairs import codecs, layout
from copgen.pairs.diagnosis import FIX
from copgen.pairs.plan import Contents
from copgen.pairs.scan import Members
from copgen.pairs.shard import Pair
from copgen.runtime.errors import DataError


class ShardReader:
    """One tar, open inside a `with`; rows and columns are those of its `Members`.

    Raises:
        DataError: the file cannot be opened, or a member differs from the plan; the error names both.
    """

    def __init__(self, folder: Path, plan: Contents, number: int, members: Members) -> None:
        self._path = layout.tar_path(folder, number)
        self._members = members
        self._plan = plan

    def __enter__(self) -> ShardReader:
        try:
            self._file = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {error.strerror}.", fix=layout.RUN_VERIFY) from None
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)

    def data(self, row: int, column: int) -> bytes:
        """The bytes of a member."""
        size = int(self._members.sizes[row, column])
        data = os.pread(self._file, size, int(self._members.offsets[row, column]))
        if len(data) != size:
            raise self._bad(row, column, "was truncated while it was being read")
        return data

    def image(self, row: int, column: int) -> NDArray[np.uint8]:
        """An image (C, H, W)."""
        try:
            return codecs.decode(self.data(row, column), self._plan.image_format, self._plan.image_shape)
        except ValueError as error:
            raise self._bad(row, column, str(error)) from None

    def pair(self, row: int) -> Pair:
        """The whole pair."""
        images = [torch.from_numpy(self.image(row, column).copy()) for column in range(1 + self._plan.positives)]
        return Pair(self._members.start + row, images[0], tuple(images[1:]), self.metadata(row))

    def metadata(self, row: int) -> dict[str, Any]:
        """The metadata of a pair."""
        column = len(self._members.components) - 1
        try:
            metadata = json.loads(self.data(row, column))
        except (ValueError, RecursionError):
            raise self._bad(row, column, "is not a JSON document") from None
        if not isinstance(metadata, dict):
            raise self._bad(row, column, "is not a JSON object")
        return metadata

    def _bad(self, row: int, column: int, problem: str) -> DataError:
        name = f"{layout.key(self._members.start + row)}.{self._members.components[column]}"
        return DataError(f"{self._path}: member {name} {problem}.", fix=FIX)
