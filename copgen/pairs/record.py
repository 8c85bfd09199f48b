"""The record of one shard: sizes and hashes of its tar and index. Written last; without it the shard does not exist."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from copgen.pairs import layout
from copgen.pairs.documents import SHA256, Document
from copgen.pairs.plan import Contents
from copgen.runtime.errors import DataError


class Record(Document):
    """Count, sizes and hashes of one shard."""

    shard: int = Field(ge=0, description="the shard's number")
    plan: str = Field(pattern=SHA256, description="sha256 of the plan")
    count: int = Field(ge=1, description="pairs")
    rejected: int = Field(0, ge=0, description="draws rejected by the plan's filter and drawn again")
    bytes: int = Field(ge=0, description="size of the tar")
    sha256: str = Field(pattern=SHA256, description="of the tar")
    index_bytes: int = Field(ge=0, description="size of the DALI index")
    index_sha256: str = Field(pattern=SHA256, description="of the DALI index")


def load_record(folder: Path, plan: Contents, number: int) -> Record:
    """The record of shard `number`, which must belong to the plan.

    Raises:
        DataError: missing, invalid, of another shard or plan, or with another count.
    """
    path = layout.record_path(folder, number)
    return _checked(Record.read(path), str(path), plan, number, plan.digest)


def parse_record(data: bytes, where: str, plan: Contents, number: int, *, digest: str) -> Record:
    """The same from a record's bytes; `digest` is the plan's, passed in to compute it once for all shards.

    Raises:
        DataError: invalid, of another shard or plan, or with another count.
    """
    return _checked(Record.parse(data, where), where, plan, number, digest)


def _checked(record: Record, where: str, plan: Contents, number: int, digest: str) -> Record:
    if record.shard != number:
        raise DataError(f"{where} is the record of shard {record.shard}, not of {number}.")
    if record.plan != digest:
        raise DataError(f"{where} belongs to another plan (sha256 {record.plan[:12]}..., not {digest[:12]}...).")
    if record.count != len(plan.shard_range(number)):
        raise DataError(f"{where} counts {record.count} pairs; the plan has {len(plan.shard_range(number))} there.")
    return record
