"""Atomic writing: a name appears whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.storage.files import (
    TEMPORARY_SUFFIX,
    create_bytes,
    disk_faults,
    read_json,
    sha256_of,
    write_bytes,
    write_json,
    write_text,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Interruption(BaseException):
    """Something that `except Exception` does not catch, as KeyboardInterrupt."""


@pytest.mark.parametrize("error", [ValueError, Interruption])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failure_inside_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], before: bytes | None
) -> None:
    path = tmp_path / "a"
    if before is not None:
        path.write_bytes(before)

    def fail() -> None:
        with writing(path) as stream:
            stream.write(b"new" * 10_000)
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ([] if before is None else ["a"])
    if before is not None:
        assert path.read_bytes() == before


def test_the_name_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with writing(path) as stream:
        stream.write(b"new" * 10_000)
        stream.flush()
        assert names(tmp_path) == ["a", "a" + TEMPORARY_SUFFIX]
        assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]
    assert path.read_bytes() == b"new" * 10_000


def test_several_processes_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with writing(path, alone=False) as one, writing(path, alone=False) as other:
        one.write(b"same")
        other.write(b"same")
        assert len(names(tmp_path)) == 2
        assert all(name.startswith("a.") and name.endswith(TEMPORARY_SUFFIX) for name in names(tmp_path))
    assert names(tmp_path) == ["a"]
    assert path.read_bytes() == b"same"


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_name_is_created_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    assert create_bytes(tmp_path / "below/a", b"first")
    assert not create_bytes(tmp_path / "below/a", b"second")
    assert names(tmp_path / "below") == ["a"]
    assert (tmp_path / "below/a").read_bytes() == b"first"


def test_a_name_that_cannot_be_created_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        create_bytes(tmp_path / "file/a", b"x")


def test_a_stray_of_an_earlier_crash_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / f"a{TEMPORARY_SUFFIX}").write_bytes(b"a longer stray")
    write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_content_and_folder_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(handle: int) -> None:
        calls.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        fsync(handle)

    def traced_replace(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    write_bytes(tmp_path / "a", b"new")
    assert calls == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/c.txt", "é")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "é".encode()


FILL = """
import resource, sys
from pathlib import Path
from copgen.runtime.errors import EnvironmentFault
from copgen.storage.files import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    write_bytes(Path(sys.argv[1]), b"x" * int(sys.argv[2]))
except EnvironmentFault as error:
    print(error)
    sys.exit(int(error.code))
"""


@pytest.mark.parametrize(("size", "limit"), [(5_000, 0), (5_000, 4_999), (300_000, 100_000)])
def test_a_full_disk_is_an_environment_fault(tmp_path: Path, size: int, limit: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FILL, str(path), str(size), str(limit)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 4, result.stderr
    assert f"The disk is full: {path}" in result.stdout
    assert names(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("below", ["file/a", "file/b/a", "loop/a", "n" * 300, "folder"])
def test_a_place_that_cannot_be_written_is_an_environment_fault(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = names(tmp_path)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_bytes(tmp_path / below, b"new")
    assert names(tmp_path) == before
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_an_environment_fault(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_bytes(tmp_path / "a", b"new")


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), disk_faults(tmp_path):
        raise BrokenPipeError(32, "Broken pipe")


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [1.5, None, "é"]})
    write_json(tmp_path / "b", {"a": [1.5, None, "é"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"a": [1.5, None, "é"], "b": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a", {"loss": value})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"<html></html>", b"{} {}"]
)
def test_what_is_not_json_is_a_data_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="JSON document") as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_json_that_cannot_be_read_is_an_environment_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read_json(tmp_path)


@pytest.mark.parametrize("below", ["none", "none/a", "file/a"])
def test_json_that_is_not_there_is_a_data_error_that_names_it(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught:
        read_json(tmp_path / below)
    assert str(tmp_path / below) in str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_sha256(tmp_path: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_file_system_that_cannot_make_names_durable_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def of_files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", of_files_only)
    write_bytes(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
