"""Features of any number of images in several spaces, chunk by chunk: each image is made once, and few are in memory.

Each chunk of each space is a file once it is done, so that a stopped evaluation resumes there, and the next one reads
it. A chunk is a function of its key and its rows: more images reuse the chunks of fewer.

Legend: N images, D dimension of a space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from copgen.evaluation.feature_cache import keep, kept
from copgen.evaluation.spaces import FeatureSpace
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events

CHUNK = 512  # images


@dataclass(frozen=True)
class Chunks:
    """Features (N, D), float32 on the CPU, in the order of the images.

    Attributes:
        parts: each chunk: tensors, or functions that read them.
        count: N.
    """

    parts: list[Callable[[], Tensor]]
    count: int

    def rows(self, first: int, end: int) -> Iterator[Tensor]:
        """The features of images first to end - 1 in parts, of which one is in memory at a time."""
        for number in range(first // CHUNK, -(-end // CHUNK)):
            start = number * CHUNK
            yield self.parts[number]()[max(first - start, 0) : end - start]

    def tensor(self, first: int, end: int) -> Tensor:
        """The same in one tensor."""
        return torch.cat(list(self.rows(first, end)))


@dataclass(frozen=True)
class Store:
    """Where chunks are kept.

    Attributes:
        folder: of the files; None: in memory.
        events: receives the progress.
    """

    folder: Path | None
    events: Events

    def features(
        self,
        title: str,
        images: Callable[[range], Iterable[Tensor]],
        count: int,
        spaces: Mapping[str, FeatureSpace],
    ) -> list[Chunks]:
        """The features of images in each space, in the order of the spaces.

        Args:
            title: of the progress bar, such as 'features of anchors'.
            images: makes the images of some rows: batches (K, C, H, W) in [-1, 1].
            count: N.
            spaces: by a key each: a hash of the space and of everything that determines the images.

        Raises:
            DataError: a feature is not finite.
        """
        parts: dict[str, list[Callable[[], Tensor]]] = {key: [] for key in spaces}
        self.events.begin(title, total=count, unit="images")
        try:
            for start in range(0, count, CHUNK):
                rows = range(start, min(start + CHUNK, count))
                missing = {}
                for key, space in spaces.items():
                    if (read := self._reader(key, rows, space.dim)) is not None:
                        parts[key].append(read)
                    else:
                        missing[key] = space
                if missing:
                    for key, features in self._extracted(images, rows, missing).items():
                        parts[key].append(self._kept(key, rows, features))
                self.events.advance(rows.stop, {})
        finally:
            self.events.end()
        return [Chunks(parts[key], count) for key in spaces]

    def _extracted(
        self, images: Callable[[range], Iterable[Tensor]], rows: range, spaces: Mapping[str, FeatureSpace]
    ) -> dict[str, Tensor]:
        found: dict[str, list[Tensor]] = {key: [] for key in spaces}
        done = rows.start
        for batch in images(rows):
            for key, space in spaces.items():
                found[key].append(space(batch).float().cpu())
            done += len(batch)
            self.events.advance(done, {})
        features = {key: torch.cat(some) for key, some in found.items()}
        for key, some in features.items():
            if not bool(some.isfinite().all()):
                raise DataError(
                    f"The feature space {spaces[key].name} gives features that are not finite.",
                    fix="Check its weights, and the images.",
                )
        return features

    def _file(self, folder: Path, key: str, rows: range) -> Path:
        return folder / f"{key[:20]}-{rows.start:08d}.safetensors"

    def _reader(self, key: str, rows: range, dim: int) -> Callable[[], Tensor] | None:
        """Reads a chunk that is there; None if it is not."""
        if self.folder is None:
            return None
        file = self._file(self.folder, key, rows)
        return None if kept(file, (len(rows), dim), key=key) is None else _Reader(file, (len(rows), dim), key)

    def _kept(self, key: str, rows: range, features: Tensor) -> Callable[[], Tensor]:
        if self.folder is None:
            return lambda: features
        file = self._file(self.folder, key, rows)
        keep(file, features, key=key)
        return _Reader(file, (features.shape[0], features.shape[1]), key)


@dataclass(frozen=True)
class _Reader:
    """Reads a chunk again."""

    file: Path
    shape: tuple[int, int]
    key: str

    def __call__(self) -> Tensor:
        if (features := kept(self.file, self.shape, key=self.key)) is None:
            raise DataError(f"{self.file} was removed or changed meanwhile.", fix="Run the same command to resume.")
        return features
