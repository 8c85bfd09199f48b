"""The manifest: all records of a pairs folder. It is written last of all; with it the folder is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from copgen.pairs import layout
from copgen.pairs.card import card
from copgen.pairs.documents import SHA256, Document
from copgen.pairs.plan import Contents
from copgen.pairs.record import Record, load_record
from copgen.runtime.errors import DataError
from copgen.runtime.files import write_text


class Manifest(Document):
    """A pure function of the plan and the records."""

    format: Literal[1] = 1
    plan: str = Field(pattern=SHA256, description="sha256 of plan.json")
    pairs: int = Field(ge=1, description="in all shards")
    rejected: int = Field(0, ge=0, description="draws that the plan's filter refused, in all shards")
    bytes: int = Field(ge=0, description="of all tars")
    shards: tuple[Record, ...]

    @classmethod
    def of(cls, plan: Contents, records: tuple[Record, ...]) -> Manifest:
        """The manifest of these records, in the order of the shards."""
        return cls(
            plan=plan.digest,
            pairs=sum(record.count for record in records),
            rejected=sum(record.rejected for record in records),
            bytes=sum(record.bytes for record in records),
            shards=records,
        )


def missing_shards(folder: Path, plan: Contents) -> list[int]:
    """The numbers of the shards that are still to be written, in order.

    A shard is there when its record is, belongs to the plan, and tar and index have the recorded sizes. A tar without
    a record counts as not there and will be overwritten.
    """
    return [number for number in range(plan.shards) if not _is_there(folder, plan, number)]


def _is_there(folder: Path, plan: Contents, number: int) -> bool:
    try:
        record = load_record(folder, plan, number)
        tar, index = layout.tar_path(folder, number).stat(), layout.index_path(folder, number).stat()
    except (DataError, OSError):
        return False
    return (tar.st_size, index.st_size) == (record.bytes, record.index_bytes)


def finish(folder: Path, plan: Contents) -> Manifest:
    """Write the dataset card and, last, the manifest. Doing it again gives the same bytes.

    Raises:
        DataError: a shard is missing.
    """
    if missing := missing_shards(folder, plan):
        raise unfinished(folder, plan, done=plan.shards - len(missing))
    manifest = Manifest.of(plan, tuple(load_record(folder, plan, number) for number in range(plan.shards)))
    write_text(folder / layout.CARD, card(plan, total_bytes=manifest.bytes, rejected=manifest.rejected))
    manifest.write(folder / layout.MANIFEST)
    return manifest


def unfinished(folder: Path, plan: Contents, *, done: int) -> DataError:
    """The error for a folder that lacks shards or its manifest."""
    return DataError(
        f"{folder} is unfinished: {done} of {plan.shards} shards are written.",
        fix=f"Give the same `{plan.command}` command again; it goes on from there.",
    )
