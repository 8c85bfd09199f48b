"""The manifest: all records of a pairs folder. It is written last; a folder with a manifest is finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from copgen.pairs import layout
from copgen.pairs.card import card
from copgen.pairs.documents import SHA256, Document
from copgen.pairs.plan import Contents
from copgen.pairs.record import Record, parse_record
from copgen.pairs.store import Store, as_store
from copgen.runtime.errors import DataError, EnvironmentFault


class Manifest(Document):
    """A pure function of the plan and the records."""

    format: Literal[1] = 1
    plan: str = Field(pattern=SHA256, description="sha256 of plan.json")
    pairs: int = Field(ge=1, description="in all shards")
    rejected: int = Field(0, ge=0, description="draws rejected by the plan's filter, in all shards")
    bytes: int = Field(ge=0, description="total size of the tars")
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


def written_shards(folder: Path | Store, plan: Contents) -> dict[int, Record]:
    """The records of the shards that are complete, by number and in order.

    A shard is complete if its record exists and belongs to the plan, and its tar and index have the recorded sizes. A
    tar without a record does not count and will be overwritten.
    """
    store = as_store(folder)
    records, sizes = store.read_all(layout.RECORDS), store.sizes(layout.SHARDS)
    digest, written = plan.digest, {}
    for number in range(plan.shards):
        name = layout.shard_name(number)
        if (data := records.get(f"{name}.json")) is None:
            continue
        try:
            record = parse_record(data, store.where(layout.record_name(number)), plan, number, digest=digest)
        except DataError:
            continue
        if (sizes.get(f"{name}.tar"), sizes.get(f"{name}.idx")) == (record.bytes, record.index_bytes):
            written[number] = record
    return written


def missing_shards(folder: Path | Store, plan: Contents) -> list[int]:
    """The numbers of the shards that are still to be written, in order."""
    written = written_shards(folder, plan)
    return [number for number in range(plan.shards) if number not in written]


def known_records(store: Store, plan: Contents, numbers: Sequence[int]) -> dict[int, Record]:
    """The valid records of these shards, by number, whether or not the shards themselves exist."""
    records = {}
    for number in numbers:
        name = layout.record_name(number)
        with suppress(DataError):
            records[number] = parse_record(store.read(name), store.where(name), plan, number, digest=plan.digest)
    return records


def is_written(store: Store, plan: Contents, number: int) -> bool:
    """Whether one shard is complete."""
    record = known_records(store, plan, [number]).get(number)
    if record is None:
        return False
    sizes = store.size(layout.tar_name(number)), store.size(layout.index_name(number))
    return sizes == (record.bytes, record.index_bytes)


def finish(folder: Path | Store, plan: Contents) -> Manifest:
    """Write the dataset card and, last, the manifest. Repeating it gives the same bytes.

    Raises:
        DataError: a shard is missing.
    """
    store = as_store(folder)
    written = written_shards(store, plan)
    if len(written) < plan.shards:
        raise unfinished(folder, plan, done=len(written))
    manifest = Manifest.of(plan, tuple(written.values()))
    text = manifest.text().encode()
    finished = _content(store, layout.MANIFEST) == text
    description = card(plan, total_bytes=manifest.bytes, rejected=manifest.rejected).encode()
    if description != _content(store, layout.CARD):
        # A folder that was finished by an older version may be read-only; its old card is good enough.
        with suppress(EnvironmentFault) if finished else nullcontext():
            store.write(layout.CARD, description)
    if not finished:
        store.write(layout.MANIFEST, text)
    return manifest


def _content(store: Store, name: str) -> bytes | None:
    """The bytes of a file; None if it is missing."""
    try:
        return store.read(name)
    except DataError:
        return None


def unfinished(folder: Path | Store, plan: Contents, *, done: int) -> DataError:
    """The error for a folder without all shards or without its manifest."""
    return DataError(
        f"{as_store(folder).where()} is unfinished: {done} of {plan.shards} shards are written.",
        fix=f"Run the same `{plan.command}` command again to resume.",
    )
