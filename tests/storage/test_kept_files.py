"""Files that stay open: few, never closed while they are read, and closed when nobody refers to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copgen.storage.kept_files import KeptFiles, OpenFile


def opened() -> set[str]:
    """What this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(link))
        except OSError:  # that of the listing
            continue
    return found


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for number in range(4):
        (tmp_path / str(number)).write_text(str(number))
    return [tmp_path / str(number) for number in range(4)]


def read(file: OpenFile) -> str:
    return file.read(9, 0).decode()


def test_the_last_ones_stay_open(paths: list[Path]) -> None:
    kept = KeptFiles(most=2)
    assert [read(kept[path]) for path in paths] == ["0", "1", "2", "3"]
    assert {str(path) for path in paths} & opened() == {str(paths[2]), str(paths[3])}
    again = kept[paths[3]]
    assert again is kept[paths[3]]
    del kept, again
    assert not {str(path) for path in paths} & opened()


def test_a_file_that_is_read_stays_open(paths: list[Path]) -> None:
    kept = KeptFiles(most=1)
    first = kept[paths[0]]
    assert read(kept[paths[1]]) == "1"
    assert read(first) == "0"


def test_a_file_is_not_closed_before_it_is_read(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kept, pread = KeptFiles(most=1), os.pread

    def after_another_thread(number: int, size: int, offset: int) -> bytes:
        for path in paths[1:]:
            kept[path]
        return pread(number, size, offset)

    monkeypatch.setattr(os, "pread", after_another_thread)
    assert kept[paths[0]].read(9, 0) == b"0"


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_many_threads_read_many_files(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).write_text(str(number))
    kept = KeptFiles(most=4)

    def wrong(thread: int) -> int:
        names = [str((7 * thread + 11 * k) % 40) for k in range(4000)]
        return sum(read(kept[tmp_path / name]) != name for name in names)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, range(8))) == 0


def test_a_block_closes_its_file(paths: list[Path]) -> None:
    with OpenFile(paths[0]) as file:
        assert read(file) == "0"
    assert str(paths[0]) not in opened()


def test_a_missing_file_is_an_error_each_time(tmp_path: Path) -> None:
    kept = KeptFiles()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            kept[tmp_path / "none"]
