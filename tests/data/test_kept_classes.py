"""The classes of a large pairs folder: read once, and again if a shard is not the very file they were read from."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from copgen import pairs
from copgen.data import kept_classes, pair_classes
from copgen.data.pair_classes import classes_of
from copgen.pairs import layout
from copgen.pairs.verification import load_plan
from tests.data.test_pairs_folder import write_with

NAMES = ["n1", "n2", "n1", "n3", "n2"]
LABELS = [0, 1, 0, 2, 1]
TICK_S = 0.02  # more than one of the clock of a file system


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, in which the classes of folders of any size and age are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_classes, "FEWEST", 1)
    monkeypatch.setattr(kept_classes, "SETTLED_S", -1.0)
    return tmp_path / "cache" / "copgen" / "pair-classes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_with(tmp_path / "pairs", [{"class": name} for name in NAMES], pairs_per_shard=2)


def classes(folder: Path) -> tuple[list[int], tuple[str, ...]]:
    labels, names = classes_of(folder, load_plan(folder))
    assert labels is not None
    return labels.tolist(), names


def without_reading(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pair_classes, "read_classes", lambda *_: pytest.fail("read again"))


def test_the_classes_are_read_once(cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert classes(folder) == (LABELS, ("n1", "n2", "n3"))
    without_reading(monkeypatch)
    assert classes(folder) == (LABELS, ("n1", "n2", "n3"))
    assert len([*cache.iterdir()]) == 1


def changed_in_place(folder: Path) -> Path:
    """Another class of as many bytes, and the times that programs can set as they were."""
    path = layout.tar_path(folder, 0)
    before = path.stat()
    content = path.read_bytes().replace(b'"n2"', b'"n1"')
    time.sleep(TICK_S)
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return folder


def replaced(folder: Path) -> Path:
    """The same with another file in its place."""
    path = layout.tar_path(folder, 0)
    copy = path.with_suffix(".new")
    shutil.copy2(path, copy)
    copy.write_bytes(copy.read_bytes().replace(b'"n2"', b'"n1"'))
    os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(copy, path)
    return folder


def another_in_its_place(folder: Path) -> Path:
    """Another folder of the same name, copied with its times."""
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    shutil.rmtree(folder)
    shutil.copytree(changed_in_place(other), folder)
    return folder


@pytest.mark.parametrize("change", [changed_in_place, replaced, another_in_its_place])
def test_classes_of_other_files_are_not_used(cache: Path, folder: Path, change: Callable[[Path], Path]) -> None:
    classes(folder)
    assert classes(change(folder)) == ([0, 0, 0, 2, 1], ("n1", "n2", "n3"))
    assert len([*cache.iterdir()]) == 1


def test_a_copy_has_classes_of_its_own(cache: Path, folder: Path) -> None:
    classes(folder)
    copy = shutil.copytree(folder, folder.with_name("copy"))
    assert classes(copy)[0] == LABELS
    assert len([*cache.iterdir()]) == 2


def test_a_truncated_file_in_the_cache_is_replaced(cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(folder)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert classes(folder)[0] == LABELS
    without_reading(monkeypatch)
    assert classes(folder)[0] == LABELS


def test_what_changed_just_now_or_is_small_is_not_kept(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_classes, "SETTLED_S", 60.0)
    assert classes(folder)[0] == LABELS
    monkeypatch.setattr(kept_classes, "SETTLED_S", -1.0)
    monkeypatch.setattr(kept_classes, "FEWEST", 6)
    assert classes(folder)[0] == LABELS
    assert not cache.exists()


def test_a_cache_that_cannot_be_used_is_left_out(cache: Path, folder: Path) -> None:
    cache.parent.parent.write_text("a file")
    assert classes(folder)[0] == LABELS


def test_several_shards_are_waited_for_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: set[int] = set()
    inside = pair_classes.classes_in

    def slow(folder: Path, plan: pairs.Contents, number: int, *, most: int | None = None) -> list[int | str | None]:
        if most is None:
            waiting.add(number)
            until = time.monotonic() + 60
            while len(waiting) < plan.shards:
                assert time.monotonic() < until
                time.sleep(0.001)
        return inside(folder, plan, number, most=most)

    monkeypatch.setattr(pair_classes, "classes_in", slow)
    assert classes(folder)[0] == LABELS
