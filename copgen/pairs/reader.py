"""Read pairs in order or by index; from memory if they fit, else from the shards.

Nothing is unpacked to disk. A shard's headers are scanned once, when it is first needed; after that each image is read
at its offset. No file stays open between calls, so a PairSet can be used after a fork, in threads, and pickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from copgen.pairs import layout
from copgen.pairs.manifest import missing_shards, unfinished
from copgen.pairs.plan import Contents
from copgen.pairs.scan import Members, scan
from copgen.pairs.shard import Pair
from copgen.pairs.shard_reader import ShardReader
from copgen.pairs.verification import load_plan, problems
from copgen.runtime.errors import unknown
from copgen.runtime.path_errors import path_errors

CACHE_BYTES = 2 * 2**30
Indices = Sequence[int] | Tensor


class PairSet:
    """The pairs of a finished folder, in order: `len(pairs)`, `pairs[k]`, `for pair in pairs`, `pairs.batch(indices)`.

    Attributes:
        folder: the pairs folder.
        plan: its plan.
    """

    def __init__(self, folder: Path, plan: Contents, *, cache_bytes: int) -> None:
        self.folder = folder
        self.plan = plan
        self._members: dict[int, Members] = {}
        self._cache: tuple[Tensor, Tensor] | None = None
        channels, height, width = plan.image_shape
        if plan.pairs * (1 + plan.positives) * channels * height * width <= cache_bytes:
            self._cache = self._decode_all()

    def __len__(self) -> int:
        return self.plan.pairs

    def __iter__(self) -> Iterator[Pair]:
        for number in range(self.plan.shards):
            yield from self._shard_pairs(number)

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} is not in 0..{len(self) - 1}")
        number, row = divmod(index, self.plan.pairs_per_shard)
        with self._open(number) as shard:
            return shard.pair(row)

    def batch(self, indices: Indices, *, which: int | Indices = 0) -> tuple[Tensor, Tensor]:
        """(anchors, positives) of the pairs with these indices, each uint8 (N, C, H, W), on the CPU.

        Args:
            indices: (N,) integers in 0..len - 1, in any order, repeats allowed.
            which: number of the positive, in 0..plan.positives - 1; one for all pairs, or (N,).

        Raises:
            IndexError: an index or a `which` out of range.
            DataError: a shard or an image is damaged.
        """
        rows = _checked(indices, len(self), "pair")
        chosen = _checked([which] if isinstance(which, int) else which, self.plan.positives, "positive")
        chosen = chosen.expand(len(rows)) if isinstance(which, int) else chosen
        if len(chosen) != len(rows):
            raise IndexError(f"{len(chosen)} positive indices for {len(rows)} pairs")
        if self._cache is not None:
            anchors, positives = self._cache
            return anchors[rows], positives[rows, chosen]
        images = np.empty((2, len(rows), *self.plan.image_shape), np.uint8)
        shards, places = rows // self.plan.pairs_per_shard, rows % self.plan.pairs_per_shard
        for number in sorted(set(shards.tolist())):
            with self._open(number) as shard:
                for k in (shards == number).nonzero()[:, 0].tolist():
                    row = int(places[k])
                    images[0, k] = shard.image(row, 0)
                    images[1, k] = shard.image(row, 1 + int(chosen[k]))
        return torch.from_numpy(images[0]), torch.from_numpy(images[1])

    @property
    def cached(self) -> bool:
        """Whether all images are in memory."""
        return self._cache is not None

    def _members_of(self, number: int) -> Members:
        if number not in self._members:
            self._members[number] = scan(self.folder, self.plan, number)
        return self._members[number]

    def _open(self, number: int) -> ShardReader:
        return ShardReader(self.folder, self.plan, number, self._members_of(number))

    def _shard_pairs(self, number: int) -> Iterator[Pair]:
        with self._open(number) as shard:
            for row in range(len(self.plan.shard_range(number))):
                yield shard.pair(row)

    def _decode_all(self) -> tuple[Tensor, Tensor]:
        """(pairs, C, H, W) anchors and (pairs, positives, C, H, W) positives."""
        plan = self.plan
        anchors = np.empty((plan.pairs, *plan.image_shape), np.uint8)
        positives = np.empty((plan.pairs, plan.positives, *plan.image_shape), np.uint8)
        for number in range(plan.shards):
            with self._open(number) as shard:
                for row, index in enumerate(plan.shard_range(number)):
                    anchors[index] = shard.image(row, 0)
                    for j in range(plan.positives):
                        positives[index, j] = shard.image(row, 1 + j)
        return torch.from_numpy(anchors), torch.from_numpy(positives)


@path_errors()
def open_pairs(
    folder: Path | str, verify: Literal["full", "quick", "none"] = "quick", *, cache_bytes: int = CACHE_BYTES
) -> PairSet:
    """Open a finished pairs folder.

    Args:
        folder: what `copgen sample` wrote.
        verify: `full` reads and hashes every byte first, `quick` checks names, sizes and counts, `none` only that the
            folder is finished. Tar headers are always scanned strictly, and images checked before decoding.
        cache_bytes: decode everything into memory now if it takes no more than this (0: never).

    Raises:
        DataError: no such folder, not a pairs folder, unfinished, or the first problem that the verification finds.
        UsageError: unknown level.
    """
    folder = Path(folder)
    if verify not in ("full", "quick", "none"):
        raise unknown("verification level", verify, ("full", "quick", "none"))
    plan = load_plan(folder)
    if verify == "none":
        if not (folder / layout.MANIFEST).is_file():
            raise unfinished(folder, plan, done=plan.shards - len(missing_shards(folder, plan)))
    else:
        for problem in problems(folder, verify):
            raise problem.error
    return PairSet(folder, plan, cache_bytes=cache_bytes)


def read(folder: Path | str, verify: Literal["full", "quick", "none"] = "quick") -> Iterator[Pair]:
    """Iterate over the pairs of a folder in order; the folder is checked immediately. Errors as `open_pairs`."""
    return iter(open_pairs(folder, verify, cache_bytes=0))


def _checked(indices: Indices, count: int, kind: str) -> Tensor:
    """(N,) int64 on the CPU, all in 0..count - 1."""
    rows = torch.as_tensor(indices, dtype=torch.int64, device="cpu")
    if rows.ndim != 1 or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count):
        raise IndexError(f"{kind} indices must be a vector of integers in 0..{count - 1}")
    return rows
