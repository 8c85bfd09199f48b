"""The files of a pairs folder, and their names.

plan.json                  everything that determines the bytes
shards/shard-000017.tar    the pairs; with shard-000017.idx, the index for DALI
records/shard-000017.json  written last: a shard without its record does not exist
manifest.json              all records: the folder is finished
README.md                  the dataset card
places.json                paths of the input files that the plan knows by their hashes; affects no byte
claims/shard-000017.json   exists while a worker makes the shard; removed when the folder is finished
pool/part-000017.safetensors  features of the pool of `nearest`, and claims; removed when the folder is finished
"""

from __future__ import annotations

import functools
from pathlib import Path

PLAN = "plan.json"
MANIFEST = "manifest.json"
CARD = "README.md"
PLACES = "places.json"
SHARDS = "shards"
RECORDS = "records"
CLAIMS = "claims"  # of workers at work
POOL = "pool"  # features of a pool, and their claims
METADATA = "json"
RUN_VERIFY = "Run `copgen verify` to list what is missing and the command that regenerates it."


def shard_name(number: int) -> str:
    """The common stem of a shard's tar, index and record."""
    return f"shard-{number:06d}"


def shard_number(stem: str) -> int | None:
    """The number in the stem of a shard; None for any other name."""
    digits = stem.removeprefix("shard-")
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
    return number if number is not None and shard_name(number) == stem else None


def tar_name(number: int) -> str:
    return f"{SHARDS}/{shard_name(number)}.tar"


def index_name(number: int) -> str:
    return f"{SHARDS}/{shard_name(number)}.idx"


def record_name(number: int) -> str:
    return f"{RECORDS}/{shard_name(number)}.json"


def claim_name(number: int, generation: int = 0, *, folder: str = CLAIMS) -> str:
    """A worker's claim on a shard; a claim that takes over from a dead worker has the next generation."""
    return f"{folder}/{shard_name(number)}{f'.{generation}' if generation else ''}.json"


def part_name(number: int) -> str:
    """The features of a part of a pool."""
    return f"{POOL}/part-{number:06d}.safetensors"


def tar_path(folder: Path, number: int) -> Path:
    return folder / tar_name(number)


def index_path(folder: Path, number: int) -> Path:
    return folder / index_name(number)


def record_path(folder: Path, number: int) -> Path:
    return folder / record_name(number)


def key(index: int) -> str:
    """The WebDataset key of pair `index`: nine digits or more, no dots."""
    return f"{index:09d}"


@functools.cache  # called for each pair
def components(positives: int, image_format: str) -> tuple[str, ...]:
    """The components of one sample in the order of the tar: anchor, positive, positive-1, ..., metadata.

    A component is what WebDataset and DALI call an extension: everything after the first dot of a member's name.
    """
    images = ["anchor", "positive", *(f"positive-{j}" for j in range(1, positives))]
    return (*(f"{image}.{image_format}" for image in images), METADATA)
