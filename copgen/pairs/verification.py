"""Is a pairs folder whole and unaltered? `quick` looks at names, sizes and counts; `full` reads every byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from copgen.pairs import layout
from copgen.pairs.manifest import Manifest, missing_shards, unfinished
from copgen.pairs.plan import Plan
from copgen.pairs.record import Record, load_record
from copgen.pairs.scan import scan
from copgen.pairs.store import refuse_url
from copgen.runtime.errors import DataError, unknown
from copgen.runtime.files import TEMPORARY_SUFFIX, sha256_of

Level = Literal["quick", "full"]
COPY = "Copy the file again from where it came."
MEND = "Copy the file again from where it came, or give the same `copgen sample` command again."


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a pairs folder.

    Attributes:
        file: which file or folder.
        what: what is wrong with it; names the file too.
        fix: what to do about it.
    """

    file: Path
    what: str
    fix: str

    @property
    def error(self) -> DataError:
        """The problem as an error."""
        return DataError(self.what, fix=self.fix)


def verify(folder: Path, level: Level = "quick") -> list[Problem]:
    """All problems of a pairs folder; none where it is finished, whole and unaltered.

    `quick` finds missing and extra files, wrong sizes and counts, and documents that contradict each other. `full`
    finds besides, by sha256, any altered byte of shards, indices, plan, records and manifest, and walks through every
    tar. The card is free to be edited. Images are decoded by neither.

    Raises:
        UsageError: no such level.
    """
    if level not in get_args(Level):
        raise unknown("verification level", level, get_args(Level))
    return list(problems(folder, full=level == "full"))


def problems(folder: Path, *, full: bool) -> Iterator[Problem]:
    """The same one by one, so that a caller can stop at the first."""
    try:
        plan = load_plan(folder)
    except DataError as error:
        yield Problem(folder / layout.PLAN, error.what, error.fix)
        return
    manifest: Manifest | None = None
    path = folder / layout.MANIFEST
    if not path.is_file():
        lacking = unfinished(folder, plan, done=plan.shards - len(missing_shards(folder, plan)))
        yield Problem(path, lacking.what, lacking.fix)
    else:
        try:
            manifest = Manifest.read(path)
        except DataError as error:
            yield Problem(path, error.what, MEND)
        else:
            yield from _about_manifest(folder, plan, manifest, full=full)
    for number in range(plan.shards):
        yield from _about_shard(folder, plan, manifest, number, full=full)
    yield from _extra_files(folder, plan)


def load_plan(folder: Path) -> Plan:
    """The plan of what should be a pairs folder.

    Raises:
        DataError: no such folder, no pairs folder, or a broken plan.
    """
    refuse_url(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", fix="Name a pairs folder, as `copgen sample` writes it.")
    if not (folder / layout.PLAN).is_file():
        others = (layout.SHARDS, layout.RECORDS, layout.MANIFEST)
        if any((folder / name).exists() for name in others):
            raise DataError(f"{folder / layout.PLAN} is missing, so the pairs of this folder cannot be read.", fix=MEND)
        raise DataError(
            f"{folder} is not a pairs folder: it has no {layout.PLAN}.",
            fix=f"Expected {layout.PLAN}, {layout.SHARDS}/, {layout.RECORDS}/ and {layout.MANIFEST}, as "
            "`copgen sample` writes them.",
        )
    try:
        return Plan.load(folder)
    except DataError as error:
        raise DataError(error.what, fix=error.fix or COPY) from None


def _about_manifest(folder: Path, plan: Plan, manifest: Manifest, *, full: bool) -> Iterator[Problem]:
    path = folder / layout.MANIFEST
    if manifest.plan != plan.digest:
        yield Problem(folder / layout.PLAN, f"{folder / layout.PLAN} was altered: {path} names another sha256.", COPY)
    elif full and sha256_of(folder / layout.PLAN) != manifest.plan:
        yield Problem(folder / layout.PLAN, f"{folder / layout.PLAN} was altered: its sha256 is another.", COPY)
    if len(manifest.shards) != plan.shards or manifest.pairs != plan.pairs:
        counts = f"{manifest.pairs} pairs in {len(manifest.shards)} shards"
        yield Problem(path, f"{path} counts {counts}; the plan has {plan.pairs} in {plan.shards}.", MEND)
    elif full and path.read_bytes() != Manifest.of(plan, manifest.shards).text().encode():
        yield Problem(path, f"{path} was altered: it is not what the records add up to.", MEND)


def _about_shard(folder: Path, plan: Plan, manifest: Manifest | None, number: int, *, full: bool) -> Iterator[Problem]:
    path = layout.record_path(folder, number)
    if manifest is None and not path.exists():
        return
    try:
        record = load_record(folder, plan, number)
    except DataError as error:
        yield Problem(path, error.what, MEND)
        return
    if manifest is not None and number < len(manifest.shards) and manifest.shards[number] != record:
        yield Problem(path, f"{path} and {layout.MANIFEST} contradict each other.", MEND)
    elif full and path.read_bytes() != record.text().encode():
        yield Problem(path, f"{path} was altered: it is not as copgen writes it.", MEND)
    try:
        wrong = list(_about_bytes(folder, record, full=full))
    except OSError as error:
        path = Path(error.filename or path)
        wrong = [Problem(path, f"{path} cannot be read: {error.strerror}.", "Check its permissions and the disk.")]
    yield from wrong
    if full and not wrong:
        yield from _about_members(folder, plan, number)


def _about_bytes(folder: Path, record: Record, *, full: bool) -> Iterator[Problem]:
    for path, size, sha256 in (
        (layout.tar_path(folder, record.shard), record.bytes, record.sha256),
        (layout.index_path(folder, record.shard), record.index_bytes, record.index_sha256),
    ):
        if not path.is_file():
            yield Problem(path, f"{path} is missing, but its record is there.", MEND)
        elif (found := path.stat().st_size) != size:
            change = "cut" if found < size else "lengthened"
            yield Problem(path, f"{path} was {change}: it has {found} bytes, its record says {size}.", MEND)
        elif full and (digest := sha256_of(path)) != sha256:
            yield Problem(
                path,
                f"{path} was altered: its sha256 is {digest[:12]}..., its record says {sha256[:12]}....",
                f"Copy the file again from where it came, or delete {layout.record_path(folder, record.shard)} "
                "and give the same `copgen sample` command again.",
            )


def _about_members(folder: Path, plan: Plan, number: int) -> Iterator[Problem]:
    try:
        members = scan(folder, plan, number)
    except DataError as error:
        yield Problem(layout.tar_path(folder, number), error.what, error.fix)
        return
    path = layout.index_path(folder, number)
    if path.read_bytes() != members.index_text().encode("ascii"):
        yield Problem(path, f"{path} does not point at the members of its tar.", MEND)


def _extra_files(folder: Path, plan: Plan) -> Iterator[Problem]:
    stems = {layout.shard_name(number) for number in range(plan.shards)}
    for name, suffixes in ((layout.SHARDS, (".tar", ".idx")), (layout.RECORDS, (".json",))):
        if not (folder / name).is_dir():
            continue
        for path in sorted((folder / name).iterdir()):
            if path.name.startswith(".") or path.name.endswith(TEMPORARY_SUFFIX):
                continue
            if path.suffix not in suffixes or path.stem not in stems:
                yield Problem(path, f"{path} does not belong to the {plan.shards} shards of the plan.", "Remove it.")
