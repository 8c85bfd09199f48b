"""Small pairs folders for the tests, and ways to tamper with them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from copgen import pairs
from copgen.pairs import layout, png
from copgen.pairs.record import Record

Member = tuple[tarfile.TarInfo, bytes]


def plan(**changes: Any) -> pairs.Plan:
    """Seven pairs of 1 x 6 x 5 in shards of three, unless changed."""
    values: dict[str, Any] = {
        "seed": 3,
        "pairs": 7,
        "pairs_per_shard": 3,
        "batch": 2,
        "generator": {"name": "digits", "sha256": "a" * 64},
        "prior": {"name": "normal", "settings": {"scale": 1.0}},
        "transform": {"name": "optimal", "settings": {"delta": 0.23}, "sha256": "b" * 64},
        "image_shape": (1, 6, 5),
        "device": "cpu",
        "versions": {"copgen": "0.1.0", **pairs.encoder_versions("png", (1, 6, 5))},
    }
    return pairs.Plan.model_validate(values | changes)


def imported_plan(**changes: Any) -> pairs.ImportedPlan:
    """The same seven pairs, as if they had been imported."""
    values: dict[str, Any] = {
        "pairs": 7,
        "pairs_per_shard": 3,
        "image_shape": (1, 6, 5),
        "versions": {"copgen": "0.1.0", **pairs.encoder_versions("png", (1, 6, 5))},
        "imported": {"layout": "genrep", "name": "tree", "files": 14, "sha256": "c" * 64},
    }
    return pairs.ImportedPlan.model_validate(values | changes)


def pair(made: pairs.Contents, index: int) -> pairs.Pair:
    """Pair `index`: noise drawn by (seed, index)."""
    seed = made.seed if isinstance(made, pairs.Plan) else 0
    draw = torch.Generator().manual_seed(1000 * seed + index)
    images = torch.randint(0, 256, (1 + made.positives, *made.image_shape), dtype=torch.uint8, generator=draw)
    return pairs.Pair(index, images[0], tuple(images[1:]), {"distance": index / 8, "class": None})


def shard_pairs(made: pairs.Contents, number: int) -> Iterator[pairs.Pair]:
    """The pairs of one shard."""
    return (pair(made, index) for index in made.shard_range(number))


def write(folder: Path, made: pairs.Contents) -> pairs.Manifest:
    """A finished folder."""
    made.save(folder)
    for number in pairs.missing_shards(folder, made):
        pairs.write_shard(folder, made, number, shard_pairs(made, number))
    return pairs.finish(folder, made)


def member(name: str, data: bytes = b"", **changes: Any) -> Member:
    """A tar member with some of its header fields changed."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in changes.items():
        setattr(info, field, value)
    return info, data


def sample(made: pairs.Contents, index: int) -> list[Member]:
    """The members of one good sample."""
    images = (pair(made, index).anchor, *pair(made, index).positives)
    data = [*(png.encode(image.numpy()) for image in images), b"{}"]
    return [member(f"{layout.key(index)}.{name}", content) for name, content in zip(made.components, data, strict=True)]


def tar_of(members: Iterable[Member], *, format: int = tarfile.USTAR_FORMAT) -> bytes:
    """The bytes of a tar of these members; links and devices have no data."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if data else None)
    return stream.getvalue()


def put_tar(folder: Path, made: pairs.Contents, number: int, content: bytes) -> None:
    """Replace a shard's tar, and make its record and the manifest agree with the new one."""
    layout.tar_path(folder, number).write_bytes(content)
    path = layout.record_path(folder, number)
    changes = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    Record.read(path).model_copy(update=changes).write(path)
    pairs.finish(folder, made)


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
