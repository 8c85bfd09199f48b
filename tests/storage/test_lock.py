"""Who writes into a folder: one process alone, or several that share it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.errors import EnvironmentFault
from copgen.storage.files import TEMPORARY_SUFFIX
from copgen.storage.lock import LOCK, is_held, locked, refuse_foreign, shared
from copgen.storage.processes import identity

HOLD = """
import sys
from pathlib import Path
from copgen.storage.lock import locked, shared
folder = Path(sys.argv[1])
with locked(folder) if sys.argv[2] == "alone" else shared(folder, first=lambda: print("first", flush=True)):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, how: str = "alone") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(folder), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ("held\n" if how == "alone" else "first\n")
        assert how == "alone" or process.stdout.readline() == "held\n"
        yield process


def test_a_second_process_is_refused_with_the_name_of_the_holder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with holder(folder) as process:
        for _ in range(2):
            with pytest.raises(EnvironmentFault) as caught, locked(folder):
                pytest.fail("two writers")
            assert f"{folder} is in use by another copgen (process {process.pid})" in str(caught.value)
    with locked(folder):
        pass


def test_a_process_may_wait_for_the_holder_instead(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        threading.Timer(0.3, process.kill).start()
        with locked(tmp_path, wait=True):
            assert process.wait() != 0


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text()) == identity()


@pytest.mark.parametrize("fail", [False, True])
def test_the_lock_is_gone_afterwards(tmp_path: Path, fail: bool) -> None:
    folder = tmp_path / "a/b"
    try:
        with locked(folder):
            assert json.loads((folder / LOCK).read_text()) == identity()
            if fail:
                raise ValueError
    except ValueError:
        pass
    assert list(folder.iterdir()) == []


def test_a_lock_is_held_while_its_process_lives(tmp_path: Path) -> None:
    assert is_held(tmp_path) is False
    with holder(tmp_path) as process:
        assert is_held(tmp_path) is True
        process.kill()
        process.wait()
    assert (tmp_path / LOCK).exists()
    assert is_held(tmp_path) is False
    with locked(tmp_path):
        assert is_held(tmp_path) is True


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, True),
        ({"started": 1}, False),  # another process has its number now, as process 1 of the next container
        ({"process": 1, "started": 1}, False),
        ({"machine": "another"}, None),
        ({"machine": ""}, None),
    ],
)
def test_a_process_number_alone_holds_no_lock(tmp_path: Path, changes: dict[str, Any], held: bool | None) -> None:
    (tmp_path / LOCK).write_text(json.dumps({**identity(), **changes}))
    assert is_held(tmp_path) is held


@pytest.mark.parametrize("number", [os.getpid(), 1], ids=["own", "first"])
def test_locks_of_older_versions_are_read(tmp_path: Path, number: int) -> None:
    (tmp_path / LOCK).write_text(f"{number}\n")
    assert is_held(tmp_path) is True
    (tmp_path / LOCK).write_text("999999999\n")
    assert is_held(tmp_path) is False


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"true", b"0", b"-1", b"[1]", b'{"process": 1}', b"[" * 4000, b"9" * 99]
)
def test_a_lock_that_nobody_can_read_is_not_held(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert is_held(tmp_path) is False


def test_the_holder_is_said_to_be_elsewhere(tmp_path: Path) -> None:
    with holder(tmp_path):
        (tmp_path / LOCK).write_text(json.dumps({**identity(), "machine": "another", "process": 17}))
        with pytest.raises(EnvironmentFault, match="process 17 on another machine"):
            locked(tmp_path).__enter__()


def test_a_long_stale_name_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("a longer text than any process has" * 10)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text()) == identity()


def test_a_holder_that_leaves_in_between_takes_no_lock_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock
    left: list[bool] = []

    def flock_after_the_holder_left(handle: int, operation: int) -> None:
        if not left:
            left.append(True)
            (tmp_path / LOCK).unlink()
        flock(handle, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock_after_the_holder_left)
        with locked(tmp_path):
            assert left
            with pytest.raises(EnvironmentFault, match=f"process {os.getpid()}"), locked(tmp_path):
                pytest.fail("two writers")


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(EnvironmentFault, match="cannot be written"), locked(folder):
        pytest.fail("locked through a link")
    assert (tmp_path / "precious").read_text() == "keep me"


def test_a_folder_that_cannot_be_made_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/a"):
        with pytest.raises(EnvironmentFault), locked(tmp_path / place):
            pytest.fail("locked")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
@pytest.mark.parametrize("how", [locked, partial(locked, wait=True), partial(shared, first=lambda: None)])
def test_a_file_system_without_locks_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, how: Callable[[Path], AbstractContextManager[None]]
) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(EnvironmentFault) as caught:
        how(tmp_path).__enter__()
    assert str(tmp_path) in caught.value.what
    assert "flock" in caught.value.what
    assert "--out" in caught.value.fix
    assert "-o flock" in caught.value.fix
    assert len(os.listdir("/proc/self/fd")) == before


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match="is a file, not a folder"):
        refuse_foreign(tmp_path / "file", mark="mark", holds="run")
    with pytest.raises(EnvironmentFault, match=r"not empty .*run .*'file'"):
        refuse_foreign(tmp_path, mark="mark", holds="run")


@pytest.mark.parametrize("content", [[], [LOCK], [LOCK, "mark" + TEMPORARY_SUFFIX], ["mark"], ["mark", "other"]])
def test_new_and_own_folders_are_taken(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).touch()
    refuse_foreign(tmp_path, mark="mark", holds="run")
    refuse_foreign(tmp_path / "none", mark="mark", holds="run")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(content)


def test_several_share_a_folder_and_only_the_first_is_alone_at_its_beginning(tmp_path: Path) -> None:
    firsts: list[str] = []
    in_use = f"in use by another copgen \\(process {os.getpid()}\\)"
    with shared(tmp_path, first=lambda: firsts.append("one")):
        with shared(tmp_path, first=lambda: firsts.append("two")), pytest.raises(EnvironmentFault, match=in_use):
            locked(tmp_path).__enter__()
        assert (tmp_path / LOCK).exists()
    assert firsts == ["one"]
    assert list(tmp_path.iterdir()) == []
    with shared(tmp_path, first=lambda: firsts.append("three")), pytest.raises(EnvironmentFault):
        locked(tmp_path).__enter__()
    assert firsts == ["one", "three"]


def test_the_share_of_a_dead_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path, "shared") as process:
        with pytest.raises(EnvironmentFault, match=f"process {process.pid}"):
            locked(tmp_path).__enter__()
        process.kill()
        process.wait()
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_sharing_waits_a_moment_for_one_that_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(tmp_path):
        monkeypatch.setattr("copgen.storage.lock._PATIENCE_S", 0.1)
        with pytest.raises(EnvironmentFault, match="in use"):
            shared(tmp_path, first=lambda: None).__enter__()
        monkeypatch.undo()
        own = locked(tmp_path / "other")
        own.__enter__()
        release = threading.Timer(0.2, lambda: own.__exit__(None, None, None))
        release.start()
        with shared(tmp_path / "other", first=lambda: None):
            release.join()


def test_a_failure_of_the_first_gives_the_folder_back(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared(tmp_path, first=fail).__enter__()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass
