"""The report of a verification: each problem with its shard and the command that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from copgen.pairs import layout
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.pairs_folder.verify import verify_pairs
from tests.pairs import folders
from tests.stages.small import Recorder


def test_a_whole_folder(tmp_path: Path) -> None:
    folders.write(tmp_path, folders.plan())
    events = Recorder()
    found = verify_pairs(tmp_path, events=events)
    assert found == {"level": "full", "pairs": 7, "shards": 3, "problems": [], "leftovers": []}
    assert events.tasks == [("verify", 3, "shards", 0)]
    assert events.advances == [1, 2, 3]


def test_a_damaged_one(tmp_path: Path) -> None:
    folders.write(tmp_path, folders.plan())
    layout.index_path(tmp_path, 2).unlink()
    (tmp_path / "shards/shard-000001.tar.partial").write_bytes(b"x")
    found = verify_pairs(tmp_path, level="quick")
    (problem,) = found["problems"]
    assert (problem["file"], problem["shard"]) == (str(layout.index_path(tmp_path, 2)), 2)
    assert problem["command"] == ["copgen", "sample", "--out", f"{tmp_path}/", "--only", "2"]
    assert found["leftovers"] == [str(tmp_path / "shards/shard-000001.tar.partial")]


def test_what_is_no_pairs_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a pairs folder"):
        verify_pairs(tmp_path)
    folders.write(tmp_path / "pairs", folders.plan())
    with pytest.raises(UsageError, match="no verification level 'fast'"):
        verify_pairs(tmp_path / "pairs", level="fast")  # type: ignore[arg-type]
