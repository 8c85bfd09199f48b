"""A random sample of the pairs of a folder of any size, read in batches: for statistics of pairs.

Only names and sizes of the whole folder are read, the index of each shard that the sample meets, and the sampled pairs.
Of several positives of an anchor, one is sampled.

Legend: N pairs of the sample, K pairs of a batch, P positives of each anchor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.pairs import codecs, layout
from copgen.pairs.diagnosis import FIX
from copgen.pairs.index_reader import opened_shard, read_index, read_member
from copgen.pairs.scan import Members
from copgen.pairs.verification import load_plan, problems
from copgen.runtime import philox
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events, Silent

Metadata = dict[str, Any]
SHOWN_FROM = 20  # shards, from which on reading their indices has a progress bar


@dataclass(frozen=True, eq=False)
class SampledPairs:
    """Pairs of a batch.

    Attributes:
        anchors, positives: (K, C, H, W) uint8, on the CPU.
        metadata: of each pair.
        repeated: (K,) bool: two positives of the anchor are the same file.
    """

    anchors: Tensor
    positives: Tensor
    metadata: list[Metadata]
    repeated: Tensor


class PairsSample:
    """N pairs of a folder in random order, a function of the seed; all of them if there are no more.

    Args:
        folder: a finished pairs folder.
        n: N at most.
        seed: selects the pairs, and the positive of each.
        events: receives the progress of reading the indices of shards.

    Attributes:
        plan: of the folder.
        items: (N,) int64, the pairs.
        chosen: (N,) int64, the positive of each, 0 to P - 1.

    Raises:
        DataError: not a finished pairs folder, or a file that is missing or has another size; the error names it.
    """

    def __init__(self, folder: Path, *, n: int, seed: int, events: Events | None = None) -> None:
        for problem in problems(folder, "quick"):
            raise problem.error
        self.folder = folder
        self.plan = load_plan(folder)
        self.items = philox.permutation(seed, self.plan.pairs, stream="eval/pairs")[:n].clone()
        draws = philox.uniform(seed, range(len(self.items)), 1, stream="eval/positive")[:, 0]
        self.chosen = (draws * self.plan.positives).long()
        self._places = self._locate(events or Silent())

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, batch: int, *, first: int = 0, workers: int | None = None) -> Iterator[SampledPairs]:
        """Batches of K = `batch` pairs; the last may be smaller.

        Args:
            batch: K.
            first: the number of the pair to start from.
            workers: threads that decode; None: as many as Python chooses.

        Raises:
            DataError: a shard or an image is damaged; the error names it.
        """
        with ThreadPoolExecutor(workers) as pool:
            for start in range(first, len(self), batch):
                read = list(pool.map(self._read, range(start, min(start + batch, len(self)))))
                anchors, positives, metadata, repeated = zip(*read, strict=True)
                yield SampledPairs(torch.stack(anchors), torch.stack(positives), list(metadata), torch.tensor(repeated))

    def metadata(self, numbers: range, *, workers: int | None = None) -> list[Metadata]:
        """The metadata of these pairs of the sample, without their images; arguments and errors as `batches`."""
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self._metadata, numbers))

    def pair(self, number: int) -> tuple[Tensor, Tensor, Metadata]:
        """Anchor (C, H, W), positive (C, H, W), uint8, and metadata of one pair of the sample; errors as `batches`."""
        anchor, positive, metadata, _ = self._read(number)
        return anchor, positive, metadata

    def _locate(self, events: Events) -> list[Members]:
        """Where the members of each sampled pair are: the rows of the indices that are needed, and no others."""
        shards = self.items // self.plan.pairs_per_shard
        places: dict[int, Members] = {}
        met = sorted(set(shards.tolist()))
        shown = events if len(met) >= SHOWN_FROM else Silent()
        shown.begin("index", total=len(met), unit="shards")
        try:
            for done, shard in enumerate(met, start=1):
                members = read_index(self.folder, self.plan, shard)
                for number in (shards == shard).nonzero()[:, 0].tolist():
                    row = int(self.items[number]) - members.start
                    one = slice(row, row + 1)
                    found = members.offsets[one].copy(), members.sizes[one].copy()
                    places[number] = Members(members.start + row, members.components, *found)
                shown.advance(done, {})
        finally:
            shown.end()
        return [places[number] for number in range(len(self))]

    def _read(self, number: int) -> tuple[Tensor, Tensor, Metadata, bool]:
        shard, members = int(self.items[number]) // self.plan.pairs_per_shard, self._places[number]
        path = layout.tar_path(self.folder, shard)
        with opened_shard(self.folder, shard) as file:
            *images, metadata = (
                read_member(self.folder, shard, file, members, 0, column) for column in range(len(members.components))
            )
        column = 1 + int(self.chosen[number])
        decoded = [self._decoded(images[place], path, members, place) for place in (0, column)]
        repeated = len(set(images[1:])) < len(images) - 1
        return decoded[0], decoded[1], _parsed(metadata, path, members), repeated

    def _metadata(self, number: int) -> Metadata:
        shard, members = int(self.items[number]) // self.plan.pairs_per_shard, self._places[number]
        with opened_shard(self.folder, shard) as file:
            data = read_member(self.folder, shard, file, members, 0, len(members.components) - 1)
        return _parsed(data, layout.tar_path(self.folder, shard), members)

    def _decoded(self, data: bytes, path: Path, members: Members, column: int) -> Tensor:
        try:
            pixels = codecs.decode(data, self.plan.image_format, self.plan.image_shape)
        except ValueError as error:
            raise _bad(path, members, column, str(error)) from None
        return torch.from_numpy(pixels.copy())


def _parsed(data: bytes, path: Path, members: Members) -> Metadata:
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise _bad(path, members, len(members.components) - 1, "is not a JSON object")
    return metadata


def _bad(path: Path, members: Members, column: int, problem: str) -> DataError:
    name = f"{layout.key(members.start)}.{members.components[column]}"
    return DataError(f"{path}: member {name} {problem}.", fix=FIX)
