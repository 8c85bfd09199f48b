"""Missing, truncated, modified and unexpected files are found and named."""

from __future__ import annotations

import errno
import hashlib
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from copgen import pairs
from copgen.pairs import layout
from copgen.pairs.scan import scan
from copgen.pairs.verification import leftovers, problems
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.storage.files import sha256_of
from tests.pairs import folders

TAR, INDEX, RECORD = "shards/shard-000001.tar", "shards/shard-000001.idx", "records/shard-000001.json"
HASHED = [TAR, INDEX, RECORD, "plan.json", "manifest.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folders.write(tmp_path, folders.plan())
    return tmp_path


def _found(folder: Path, name: str, *, quick: bool = False) -> pairs.Problem:
    """The first problem, which must name the file, and be what the reader says too."""
    first = pairs.verify(folder, "quick" if quick else "full")[0]
    assert name.rsplit("/", 1)[-1] in first.what or "unfinished" in first.what
    with pytest.raises(DataError) as caught:
        pairs.open_pairs(folder, "quick" if quick else "full")
    assert (caught.value.what, caught.value.fix) == (first.what, first.fix)
    assert first.fix
    return first


def test_a_whole_folder_has_no_problems(folder: Path) -> None:
    assert pairs.verify(folder) == pairs.verify(folder, "full") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (TAR, "shard-000001.tar is missing"),
        (INDEX, "shard-000001.idx is missing"),
        (RECORD, "shard-000001.json is missing"),
        ("manifest.json", "unfinished: 3 of 3 shards"),
        ("plan.json", "plan.json is missing"),
    ],
)
def test_a_missing_file_is_found_at_once(folder: Path, name: str, message: str) -> None:
    (folder / name).unlink()
    assert message in _found(folder, name, quick=True).what


@pytest.mark.parametrize("name", HASHED)
def test_every_cut_is_found(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    draw = random.Random(0)
    cuts = {0, 1, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(30)), *range(0, len(whole), 512)}
    for cut in sorted(cuts):
        (folder / name).write_bytes(whole[:cut])
        _found(folder, name)
        if name in (TAR, INDEX):
            assert f"is truncated: it has {cut} bytes" in _found(folder, name, quick=True).what
    (folder / name).write_bytes(whole + b"\0")
    _found(folder, name)


@pytest.mark.parametrize("name", HASHED)
def test_every_flipped_bit_is_found(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    draw = random.Random(1)
    for _ in range(40):
        altered = bytearray(whole)
        altered[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (folder / name).write_bytes(altered)
        first = pairs.verify(folder, "full")[0]
        assert first.fix
    (folder / name).write_bytes(whole)
    assert pairs.verify(folder, "full") == []


@pytest.mark.parametrize("name", [TAR, INDEX])
def test_only_the_full_level_reads_every_byte(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert pairs.verify(folder, "quick") == []
    assert "was modified: its sha256" in _found(folder, name).what


@pytest.mark.parametrize(
    "name", ["shards/shard-000003.tar", "shards/shard-000003.idx", "shards/x.txt", "records/shard-000003.json"]
)
def test_an_extra_file_is_found(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    assert "does not belong to the 3 shards" in _found(folder, name, quick=True).what


@pytest.mark.parametrize("name", ["shards/.hidden", "shards/shard-000001.tar.partial", "notes.txt"])
def test_what_is_no_shard_does_no_harm(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    (folder / "README.md").write_text("my own words")
    assert pairs.verify(folder, "full") == []


def test_a_plan_changed_afterwards_is_found(folder: Path) -> None:
    folders.plan(seed=4).write(folder / "plan.json")
    assert "plan.json was modified" in _found(folder, "plan.json", quick=True).what


def test_a_manifest_of_another_plan_is_found(folder: Path) -> None:
    manifest = pairs.Manifest.read(folder / "manifest.json")
    manifest.model_copy(update={"plan": "0" * 64}).write(folder / "manifest.json")
    assert "manifest.json was modified: it names another plan" in _found(folder, "manifest.json", quick=True).what


def test_by_another_plan_nothing_else_is_judged(folder: Path) -> None:
    folders.plan(seed=4).write(folder / "plan.json")
    (only,) = pairs.verify(folder, "full")
    assert only.file == folder / "plan.json"
    assert only.command is None


def test_what_mends_a_problem_depends_on_what_is_damaged(folder: Path) -> None:
    (folder / TAR).unlink()
    (folder / "shards/more.tar").write_bytes(b"")
    (folder / "shards/folder").mkdir()
    one, extra_folder, extra = pairs.verify(folder)
    assert one.command == ("copgen", "sample", "--out", f"{folder}/", "--only", "1")
    assert f"copgen sample --out {folder}/ --only 1" in one.fix
    assert (extra.shard, extra.command) == (None, ("rm", str(folder / "shards/more.tar")))
    assert extra_folder.command == ("rm", "-r", str(folder / "shards/folder"))
    (folder / "manifest.json").unlink()
    unfinished = pairs.verify(folder)[0]
    assert (unfinished.shard, unfinished.command) == (None, None)
    assert "same `copgen sample` command again" in unfinished.fix


def test_imported_pairs_are_mended_by_an_import(tmp_path: Path) -> None:
    plan = folders.imported_plan()
    folders.write(tmp_path, plan)
    assert pairs.verify(tmp_path, "decode") == []
    (tmp_path / INDEX).unlink()
    (found,) = pairs.verify(tmp_path)
    assert found.command == ("copgen", "import", "FOLDER", "--out", f"{tmp_path}/", "--only", "1")
    (tmp_path / "manifest.json").unlink()
    assert "same `copgen import` command again" in pairs.verify(tmp_path)[0].fix


def test_leftovers_are_listed_and_are_no_problem(folder: Path) -> None:
    assert leftovers(folder) == []
    (folder / "claims").mkdir()
    assert leftovers(folder) == []
    strays = [folder / name for name in ("claims/shard-000001.json", "plan.json.partial", f"{TAR}.partial")]
    for stray in strays:
        stray.write_bytes(b"")
    assert leftovers(folder) == strays
    assert pairs.verify(folder, "full") == []


@pytest.mark.parametrize(
    ("per_shard", "message"),
    [(1, "000000001.anchor.png comes after the last sample"), (10**12, "ends after 3 of 1000000000000 samples")],
)
def test_a_plan_that_promises_without_end_is_not_believed(folder: Path, per_shard: int, message: str) -> None:
    """A trillion pairs in a trillion shards, or in one: neither time nor memory follows the promise."""
    plan = folders.plan(pairs=10**12, pairs_per_shard=per_shard)
    plan.write(folder / "plan.json")
    assert "plan.json was modified" in pairs.verify(folder, "full")[0].what
    manifest = pairs.Manifest.read(folder / "manifest.json")
    records = tuple(record.model_copy(update={"plan": plan.digest}) for record in manifest.shards)
    for record in records:
        record.write(layout.record_path(folder, record.shard))
    pairs.Manifest.of(plan, records).write(folder / "manifest.json")
    found = pairs.verify(folder, "full")
    assert "the plan has 1000000000000" in found[0].what
    assert found[1].shard == 0
    with pytest.raises(DataError, match=message):
        scan(folder, plan, 0)
    with pytest.raises(ValidationError):
        folders.plan(pairs=10**12 + 1)


def test_progress_counts_the_shards(folder: Path) -> None:
    seen: list[int] = []
    assert list(problems(folder, "quick", checked=seen.append)) == []
    assert seen == [1, 2, 3]


def test_an_unknown_level_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="no verification level 'fast'"):
        pairs.verify(folder, "fast")  # type: ignore[arg-type]


def test_records_of_another_run_are_found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    folders.write(other, folders.plan(seed=4))
    (folder / RECORD).write_bytes((other / RECORD).read_bytes())
    assert "belongs to another plan" in _found(folder, RECORD, quick=True).what


def test_swapped_records_are_found(folder: Path) -> None:
    (folder / RECORD).write_bytes((folder / "records/shard-000000.json").read_bytes())
    assert "is the record of shard 0, not of 1" in _found(folder, RECORD, quick=True).what


def test_a_record_with_another_count_is_found(folder: Path) -> None:
    record = pairs.Record.read(folder / RECORD).model_copy(update={"count": 2})
    record.write(folder / RECORD)
    assert "counts 2 pairs; the plan has 3" in _found(folder, RECORD, quick=True).what


def test_a_record_that_contradicts_the_manifest_is_found(folder: Path) -> None:
    record = pairs.Record.read(folder / RECORD).model_copy(update={"sha256": "0" * 64})
    record.write(folder / RECORD)
    assert "contradict each other" in _found(folder, RECORD, quick=True).what


def test_a_manifest_that_lacks_a_shard_is_found(folder: Path) -> None:
    manifest = pairs.Manifest.read(folder / "manifest.json")
    pairs.Manifest.of(folders.plan(), manifest.shards[:2]).write(folder / "manifest.json")
    assert "counts 6 pairs in 2 shards; the plan has 7 in 3" in _found(folder, "manifest.json", quick=True).what


def test_an_index_that_points_elsewhere_is_found_even_when_its_hash_agrees(folder: Path) -> None:
    plan = folders.plan()
    path = layout.index_path(folder, 1)
    content = path.read_bytes().replace(b" 512 ", b" 514 ", 1)
    path.write_bytes(content)
    record = pairs.Record.read(folder / RECORD)
    record.model_copy(update={"index_sha256": hashlib.sha256(content).hexdigest()}).write(folder / RECORD)
    pairs.finish(folder, plan)
    assert "does not match the members" in _found(folder, INDEX).what


def test_a_file_that_cannot_be_read_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(path: Path) -> str:
        if path.suffix == ".json":
            return sha256_of(path)
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("copgen.pairs.verification.sha256_of", unreadable)
    assert "shard-000000.tar cannot be read: Permission denied" in _found(folder, "shard-000000.tar").what
    (folder / RECORD).unlink()
    (folder / RECORD).mkdir()
    with pytest.raises(EnvironmentFault, match=r"shard-000001\.json cannot be read"):
        pairs.verify(folder)


def test_all_problems_are_listed(folder: Path) -> None:
    (folder / TAR).unlink()
    (folder / "shards/shard-000002.idx").unlink()
    (folder / "shards/more.tar").write_bytes(b"")
    named = [problem.file.name for problem in pairs.verify(folder)]
    assert named == ["shard-000001.tar", "shard-000002.idx", "more.tar"]


def test_the_shards_of_an_unfinished_folder_are_checked_too(tmp_path: Path) -> None:
    plan = folders.plan()
    plan.save(tmp_path)
    pairs.write_shard(tmp_path, plan, 1, folders.shard_pairs(plan, 1))
    assert [problem.file.name for problem in pairs.verify(tmp_path, "full")] == ["manifest.json"]
    layout.index_path(tmp_path, 1).unlink()
    assert [problem.file.name for problem in pairs.verify(tmp_path)] == ["manifest.json", "shard-000001.idx"]
