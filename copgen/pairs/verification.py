"""Verify that a pairs folder is complete and unmodified.

`quick` looks at names, sizes and counts; `full` reads every byte; `decode` also decodes every image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from copgen.pairs import layout, repair
from copgen.pairs.manifest import Manifest, unfinished
from copgen.pairs.plan import Contents, ImportedPlan, Plan, read_plan
from copgen.pairs.record import Record, load_record
from copgen.pairs.scan import Members, scan
from copgen.pairs.shard_reader import ShardReader
from copgen.runtime.errors import DataError, unknown
from copgen.runtime.urls import refuse_url
from copgen.storage.files import TEMPORARY_SUFFIX, sha256_of

Level = Literal["quick", "full", "decode"]
LEVELS: tuple[str, ...] = get_args(Level)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a pairs folder.

    Attributes:
        file: the file or folder.
        what: what is wrong with it; includes its name.
        fix: what to do about it.
        shard: the number of its shard, if it belongs to one.
        command: the command that fixes it, as a list of words, if there is one.
    """

    file: Path
    what: str
    fix: str
    shard: int | None = None
    command: tuple[str, ...] | None = None

    @property
    def error(self) -> DataError:
        """The problem as an error."""
        return DataError(self.what, fix=self.fix)


def verify(folder: Path | str, level: Level = "quick") -> list[Problem]:
    """All problems of a pairs folder; empty if it is finished, complete and unmodified.

    `quick` finds missing and unexpected files, wrong sizes and counts, and documents that contradict each other. `full`
    also finds, by sha256, any modified byte of shards, indices, plan, records and manifest, and scans every tar.
    `decode` also decodes every image and reads the metadata of every pair, for shards from an unknown source, whose
    hashes may match data that are not images. The card may be edited.

    Raises:
        UsageError: unknown level.
    """
    return list(problems(Path(folder), level))


def problems(folder: Path, level: Level, *, checked: Callable[[int], None] | None = None) -> Iterator[Problem]:
    """The same as an iterator, so that a caller can stop at the first problem.

    Args:
        folder: the pairs folder.
        level: quick, full or decode.
        checked: called after each shard with the number of shards checked so far.
    """
    if level not in LEVELS:
        raise unknown("verification level", level, LEVELS)
    try:
        plan = load_plan(folder)
    except DataError as error:
        yield Problem(folder / layout.PLAN, error.what, error.fix)
        return
    manifest: Manifest | None = None
    path = folder / layout.MANIFEST
    if not path.is_file():
        missing = unfinished(folder, plan, done=len(_recorded(folder, plan)))
        yield Problem(path, missing.what, missing.fix)
    else:
        try:
            manifest = Manifest.read(path)
        except DataError as error:
            yield Problem(path, error.what, repair.rerun(plan))
    if manifest is not None:
        if manifest.plan != plan.digest and not _is_of_the_records(folder, plan):
            what = f"{folder / layout.PLAN} was modified: {path} has another sha256 for it."
            yield Problem(folder / layout.PLAN, what, repair.COPY)
            return  # nothing else can be checked against another plan
        yield from _about_manifest(folder, plan, manifest, level)
    # A damaged plan may claim any number of shards, so without a manifest only the recorded ones are checked.
    listed = manifest.shards[: plan.shards] if manifest is not None else ()
    numbers = (
        range(plan.shards) if len(listed) == plan.shards else sorted({*range(len(listed)), *_recorded(folder, plan)})
    )
    for done, number in enumerate(numbers, start=1):
        yield from _of_shard(folder, plan, number, level, listed[number] if number < len(listed) else None)
        if checked is not None:
            checked(done)
    yield from _extra_files(folder, plan)


def shard_problems(folder: Path, plan: Contents, number: int, level: Level) -> list[Problem]:
    """The problems of one shard that should exist, whatever the manifest says."""
    return list(_of_shard(folder, plan, number, level, None))


def byte_problems(folder: Path, plan: Contents, number: int) -> list[Problem]:
    """Those that sizes and hashes show; a reader that compares each header needs no scan of the tar."""
    return list(_of_shard(folder, plan, number, "full", None, members=False))


def leftovers(folder: Path) -> list[Path]:
    """Harmless files that stopped workers may have left: claims, and temporary files."""
    claims = folder / layout.CLAIMS
    files = list(claims.iterdir()) if claims.is_dir() else []
    for place in (folder, folder / layout.SHARDS, folder / layout.RECORDS):
        files += place.glob(f"*{TEMPORARY_SUFFIX}")
    return sorted(files)


def load_plan(folder: Path) -> Plan | ImportedPlan:
    """The plan of a pairs folder.

    Raises:
        DataError: no such folder, not a pairs folder, or an invalid plan.
    """
    refuse_url(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", fix="Pass a pairs folder, as `copgen sample` writes it.")
    if not (folder / layout.PLAN).is_file():
        others = (layout.SHARDS, layout.RECORDS, layout.MANIFEST)
        if any((folder / name).exists() for name in others):
            path = folder / layout.PLAN
            raise DataError(f"{path} is missing, so the pairs of this folder cannot be read.", fix=repair.COPY)
        raise DataError(
            f"{folder} is not a pairs folder: it has no {layout.PLAN}.",
            fix=f"Expected {layout.PLAN}, {layout.SHARDS}/, {layout.RECORDS}/ and {layout.MANIFEST}, as "
            "`copgen sample` writes them.",
        )
    try:
        return read_plan(folder)
    except DataError as error:
        raise DataError(error.what, fix=error.fix or repair.COPY) from None


def _about_manifest(folder: Path, plan: Contents, manifest: Manifest, level: Level) -> Iterator[Problem]:
    path, of_plan, fix = folder / layout.MANIFEST, folder / layout.PLAN, repair.rerun(plan)
    if level != "quick" and sha256_of(of_plan) != plan.digest:
        yield Problem(of_plan, f"{of_plan} was modified: it is not in copgen's canonical form.", repair.COPY)
    if manifest.plan != plan.digest:
        yield Problem(path, f"{path} was modified: it names another plan than the records do.", fix)
    elif len(manifest.shards) != plan.shards or manifest.pairs != plan.pairs:
        counts = f"{manifest.pairs} pairs in {len(manifest.shards)} shards"
        yield Problem(path, f"{path} counts {counts}; the plan has {plan.pairs} in {plan.shards}.", fix)
    elif level != "quick" and path.read_bytes() != Manifest.of(plan, manifest.shards).text().encode():
        yield Problem(path, f"{path} was modified: it differs from the sum of the records.", fix)


def _is_of_the_records(folder: Path, plan: Contents) -> bool:
    """Whether any record belongs to the plan; if so, the manifest is the file that does not."""
    for number in _recorded(folder, plan):
        try:
            load_record(folder, plan, number)
        except DataError:
            continue
        return True
    return False


def _recorded(folder: Path, plan: Contents) -> list[int]:
    """The numbers of the shards with a record."""
    records = folder / layout.RECORDS
    names = [path.stem for path in records.glob("*.json")] if records.is_dir() else []
    return sorted(
        number for name in names if (number := layout.shard_number(name)) is not None and number < plan.shards
    )


def _of(folder: Path, plan: Contents, number: int, file: Path, what: str) -> Problem:
    """A problem of a shard, with the command that regenerates it."""
    fix, command = repair.regenerate(folder, plan, number), repair.shard_command(folder, plan, number)
    return Problem(file, what, fix, number, command)


def _of_shard(
    folder: Path, plan: Contents, number: int, level: Level, listed: Record | None, *, members: bool = True
) -> Iterator[Problem]:
    """The problems of a shard; `listed` is its record in the manifest; `members` False leaves out the tar's headers."""
    path = layout.record_path(folder, number)
    try:
        record = load_record(folder, plan, number)
    except DataError as error:
        yield _of(folder, plan, number, path, error.what)
        return
    if listed is not None and listed != record:
        yield _of(folder, plan, number, path, f"{path} and {layout.MANIFEST} contradict each other.")
    elif level != "quick" and path.read_bytes() != record.text().encode():
        yield _of(folder, plan, number, path, f"{path} was modified: it is not in copgen's canonical form.")
    wrong = False
    try:
        for file, what in _about_bytes(folder, record, level):
            wrong = True
            yield _of(folder, plan, number, file, what)
    except OSError as error:
        path = Path(error.filename or path)
        fix = "Check its permissions and the disk."
        yield Problem(path, f"{path} cannot be read: {error.strerror}.", fix, number)
        return
    if level != "quick" and members and not wrong:
        for file, what in _about_members(folder, plan, number, level):
            yield _of(folder, plan, number, file, what)


def _about_bytes(folder: Path, record: Record, level: Level) -> Iterator[tuple[Path, str]]:
    for path, size, sha256 in (
        (layout.tar_path(folder, record.shard), record.bytes, record.sha256),
        (layout.index_path(folder, record.shard), record.index_bytes, record.index_sha256),
    ):
        if not path.is_file():
            yield path, f"{path} is missing, but its record exists."
        elif (actual := path.stat().st_size) != size:
            change = "truncated" if actual < size else "too long"
            yield path, f"{path} is {change}: it has {actual} bytes, its record says {size}."
        elif level != "quick" and (digest := sha256_of(path)) != sha256:
            yield path, f"{path} was modified: its sha256 is {digest[:12]}..., its record says {sha256[:12]}...."


def _about_members(folder: Path, plan: Contents, number: int, level: Level) -> Iterator[tuple[Path, str]]:
    path = layout.tar_path(folder, number)
    try:
        members = scan(folder, plan, number)
        if level == "decode":
            _decode(folder, plan, number, members)
    except DataError as error:
        yield path, error.what
        return
    path = layout.index_path(folder, number)
    if path.read_bytes() != members.index_text().encode("ascii"):
        yield path, f"{path} does not match the members of its tar."


def _decode(folder: Path, plan: Contents, number: int, members: Members) -> None:
    """Decode every image and read all metadata of a shard; raises the DataError of the first that is damaged."""
    with ShardReader(folder, plan, number, members) as shard:
        for row in range(len(plan.shard_range(number))):
            shard.pair(row)


def _extra_files(folder: Path, plan: Contents) -> Iterator[Problem]:
    for name, suffixes in ((layout.SHARDS, (".tar", ".idx")), (layout.RECORDS, (".json",))):
        if not (folder / name).is_dir():
            continue
        for path in sorted((folder / name).iterdir()):
            if path.name.startswith(".") or path.name.endswith(TEMPORARY_SUFFIX):
                continue
            number = layout.shard_number(path.stem)
            if path.suffix not in suffixes or number is None or number >= plan.shards:
                what = f"{path} does not belong to the {plan.shards} shards of the plan."
                yield Problem(path, what, repair.REMOVE, command=("rm", *(["-r"] if path.is_dir() else []), str(path)))
