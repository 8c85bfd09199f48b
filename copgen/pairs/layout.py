"""Where things lie in a pairs folder, and what they are called.

plan.json                  everything that determines the bytes
shards/shard-000017.tar    the pairs; beside it shard-000017.idx, the index for DALI
records/shard-000017.json  written last: a shard without its record does not exist
manifest.json              all records: the folder is finished
README.md                  the dataset card
places.json                where the files lay that the plan knows by their hashes; decides nothing
claims/shard-000017.json   while a worker makes the shard; gone when the folder is finished
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
METADATA = "json"
AGAIN = "`copgen verify` says what is missing, and gives the command that makes it anew."


def shard_name(number: int) -> str:
    """The stem that a shard's tar, index and record share."""
    return f"shard-{number:06d}"


def shard_number(stem: str) -> int | None:
    """The number in such a stem; None for any other name."""
    digits = stem.removeprefix("shard-")
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
    return number if number is not None and shard_name(number) == stem else None


def tar_name(number: int) -> str:
    return f"{SHARDS}/{shard_name(number)}.tar"


def index_name(number: int) -> str:
    return f"{SHARDS}/{shard_name(number)}.idx"


def record_name(number: int) -> str:
    return f"{RECORDS}/{shard_name(number)}.json"


def claim_name(number: int, generation: int = 0) -> str:
    """A worker's claim on a shard; each one that takes it over from a dead worker is of the next generation."""
    return f"{CLAIMS}/{shard_name(number)}{f'.{generation}' if generation else ''}.json"


def tar_path(folder: Path, number: int) -> Path:
    return folder / tar_name(number)


def index_path(folder: Path, number: int) -> Path:
    return folder / index_name(number)


def record_path(folder: Path, number: int) -> Path:
    return folder / record_name(number)


def key(index: int) -> str:
    """The WebDataset key of pair `index`: nine digits or more, no dots."""
    return f"{index:09d}"


@functools.cache  # asked for again for each pair
def components(positives: int, image_format: str) -> tuple[str, ...]:
    """The components of one sample in the order of the tar: anchor, positive, positive-1, ..., metadata.

    A component is what WebDataset and DALI call an extension: all that follows the first dot of a member's name.
    """
    images = ["anchor", "positive", *(f"positive-{j}" for j in range(1, positives))]
    return (*(f"{image}.{image_format}" for image in images), METADATA)
