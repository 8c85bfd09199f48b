"""Write one shard atomically: its tar, its index and its record.

A pair is first encoded, which is slow and can happen in any order, and then written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from copgen.pairs import codecs, dali_index, layout
from copgen.pairs.plan import Contents
from copgen.pairs.record import Record
from copgen.pairs.tar import TarWriter
from copgen.storage.files import disk_faults, fsync_folder, write_bytes, writing

if TYPE_CHECKING:
    from torch import Tensor

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, eq=False)
class Pair:
    """An anchor with its positives.

    Attributes:
        index: the pair's index in the run; with the seed it determines everything else.
        anchor: x (C, H, W), uint8, on the CPU.
        positives: x' (C, H, W) each, uint8, on the CPU; at least one.
        metadata: JSON-able, such as the class and the distance d(z, z').
        rejected: number of draws of this pair that the plan's filter rejected before this one.
    """

    index: int
    anchor: Tensor
    positives: tuple[Tensor, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    rejected: int = 0

    @property
    def positive(self) -> Tensor:
        """The first positive."""
        return self.positives[0]


@dataclass(frozen=True)
class EncodedPair:
    """A pair as it is stored in a shard.

    Attributes:
        index: the pair's index in the run.
        members: the bytes of each of the plan's components, in their order.
        rejected: number of draws of this pair that the plan's filter rejected before this one.
    """

    index: int
    members: tuple[bytes, ...]
    rejected: int = 0


def encode_pair(plan: Contents, pair: Pair, scratch: BinaryIO | None = None) -> EncodedPair:
    """Encode the members of a pair; equal pairs give equal bytes. `scratch` as in `codecs.encode`.

    Raises:
        ValueError: the number of positives differs from the plan's, an image is not (C, H, W) uint8 of the plan's
            shape, or the metadata are not JSON.
    """
    if len(pair.positives) != plan.positives:
        raise ValueError(f"pair {pair.index} has {len(pair.positives)} positives; the plan says {plan.positives}")
    images = [np.asarray(image) for image in (pair.anchor, *pair.positives)]
    for image in images:
        if image.dtype != np.uint8 or image.shape != plan.image_shape:
            raise ValueError(
                f"pair {pair.index}: an image is {image.dtype} {image.shape}; the plan says uint8 {plan.image_shape}"
            )
    return EncodedPair(pair.index, encode_members(plan, images, pair.metadata, scratch), pair.rejected)


def encode_members(
    plan: Contents,
    images: Sequence[NDArray[np.uint8]],
    metadata: Mapping[str, Any],
    scratch: BinaryIO | None = None,
) -> tuple[bytes, ...]:
    """The bytes of each of the plan's components, from images (C, H, W) and metadata that fit the plan."""
    encoded = [codecs.encode(image, plan.image_format, plan.quality, scratch) for image in images]
    return *encoded, _JSON.encode(metadata).encode("ascii")


def write_shard(folder: Path, plan: Contents, number: int, pairs: Iterable[Pair | EncodedPair]) -> Record:
    """Write shard `number` of the plan: tar, index, and last the record. Equal pairs give equal bytes.

    Args:
        folder: the pairs folder; created if missing.
        plan: its plan.
        number: in 0..plan.shards - 1.
        pairs: exactly the pairs of `plan.shard_range(number)`, in order, encoded or not; consumed one at a time.

    Raises:
        ValueError: an index other than the plan's next one, too few or too many pairs, or a pair that `encode_pair`
            refuses. Neither a record nor a new tar is left.
        EnvironmentFault: the disk is full or not writable.
    """
    expected = plan.shard_range(number)
    tar_path, index_path = layout.tar_path(folder, number), layout.index_path(folder, number)
    _remove_record(layout.record_path(folder, number))
    lines: list[str] = []
    rejected = 0
    with writing(tar_path, alone=False) as stream:
        tar = TarWriter(stream)
        for pair in pairs:
            if len(lines) == len(expected):
                raise ValueError(f"shard {number}: pair {pair.index} comes after the last one, {expected[-1]}")
            if pair.index != expected[len(lines)]:
                raise ValueError(f"shard {number}: pair {pair.index} comes where {expected[len(lines)]} should be")
            encoded = pair if isinstance(pair, EncodedPair) else encode_pair(plan, pair)
            lines.append(add_pair(tar, plan, encoded))
            rejected += encoded.rejected
        if len(lines) < len(expected):
            raise ValueError(f"shard {number}: got {len(lines)} pairs; the plan has {len(expected)}")
        tar.close()
    index = dali_index.text(lines).encode("ascii")
    write_bytes(index_path, index, alone=False)
    record = Record(
        shard=number,
        plan=plan.digest,
        count=len(lines),
        rejected=rejected,
        bytes=tar.bytes,
        sha256=tar.sha256.hexdigest(),
        index_bytes=len(index),
        index_sha256=hashlib.sha256(index).hexdigest(),
    )
    record.write(layout.record_path(folder, number))
    return record


def _remove_record(record_path: Path) -> None:
    """Remove an old record, durably, before its shard is touched."""
    if record_path.exists():
        with disk_faults(record_path):
            record_path.unlink()
        fsync_folder(record_path.parent)


def add_pair(tar: TarWriter, plan: Contents, pair: EncodedPair) -> str:
    """Write the members of one pair; returns its line of the index."""
    key, components = layout.key(pair.index), plan.components
    offsets = tar.add(*((f"{key}.{component}", data) for component, data in zip(components, pair.members, strict=True)))
    return dali_index.line(pair.index, components, offsets, map(len, pair.members))
