"""A shard is written atomically, with the same bytes each time, and readable by other programs."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen import pairs
from copgen.pairs import Pair, Plan, layout
from copgen.runtime.errors import EnvironmentFault
from tests.pairs import folders

SHAPES = [{}, {"image_shape": (3, 4, 7)}, {"positives": 3, "image_shape": (3, 2, 2)}]


@pytest.mark.parametrize("change", SHAPES)
def test_the_standard_library_and_pillow_read_a_shard(tmp_path: Path, change: dict[str, Any]) -> None:
    plan = folders.plan(**change)
    pairs.write_shard(tmp_path, plan, 1, folders.shard_pairs(plan, 1))
    with tarfile.open(layout.tar_path(tmp_path, 1)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [f"{k:09d}.{c}" for k in (3, 4, 5) for c in plan.components]
        for member in members:
            assert (member.mode, member.uid, member.gid, member.mtime, member.uname) == (0o644, 0, 0, 0, "")
            key, component = member.name.split(".", 1)
            pair = folders.pair(plan, int(key))
            images = dict(zip(plan.components, (pair.anchor, *pair.positives), strict=False))
            stream = tar.extractfile(member)
            assert stream is not None
            if component == "json":
                assert json.load(stream) == pair.metadata
                continue
            with Image.open(stream) as image:
                pixels = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
            assert np.array_equal(pixels, images[component].numpy())


@pytest.mark.parametrize("change", SHAPES)
def test_the_same_plan_gives_the_same_bytes(tmp_path: Path, change: dict[str, Any]) -> None:
    plan = folders.plan(**change)
    folders.write(tmp_path / "one", plan)
    plan.save(tmp_path / "two")
    for number in reversed(range(plan.shards)):
        pairs.write_shard(tmp_path / "two", plan, number, folders.shard_pairs(plan, number))
    pairs.finish(tmp_path / "two", plan)
    assert folders.files(tmp_path / "one") == folders.files(tmp_path / "two")


def test_the_record_says_what_is_there(tmp_path: Path) -> None:
    plan = folders.plan()
    record = pairs.write_shard(tmp_path, plan, 2, folders.shard_pairs(plan, 2))
    tar, index = layout.tar_path(tmp_path, 2).read_bytes(), layout.index_path(tmp_path, 2).read_bytes()
    assert (record.shard, record.count, record.plan) == (2, 1, plan.digest)
    assert (record.bytes, record.sha256) == (len(tar), hashlib.sha256(tar).hexdigest())
    assert (record.index_bytes, record.index_sha256) == (len(index), hashlib.sha256(index).hexdigest())
    assert json.loads(layout.record_path(tmp_path, 2).read_text()) == record.model_dump()


@pytest.mark.parametrize("change", SHAPES)
def test_the_index_points_at_the_members(tmp_path: Path, change: dict[str, Any]) -> None:
    plan = folders.plan(**change)
    pairs.write_shard(tmp_path, plan, 0, folders.shard_pairs(plan, 0))
    content = layout.tar_path(tmp_path, 0).read_bytes()
    first, *lines = layout.index_path(tmp_path, 0).read_text().splitlines()
    assert first == "v1.2 3"
    assert len(lines) == 3
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        expected = [(member.name, member.offset_data, member.size) for member in tar]
    found = []
    for line in lines:
        words = line.split(" ")
        for extension, offset, size, name in zip(*(words[k::4] for k in range(4)), strict=True):
            assert name.split(".", 1)[1] == extension
            assert int(offset) % 512 == 0
            data = content[int(offset) : int(offset) + int(size)]
            assert data.startswith(b"{" if extension == "json" else b"\x89PNG")
            found.append((name, int(offset), int(size)))
    assert found == expected


def test_ndarrays_are_written_like_tensors(tmp_path: Path) -> None:
    plan = folders.plan()

    def bare(pair: Pair) -> Pair:
        changes: dict[str, Any] = {"anchor": pair.anchor.numpy(), "positives": (pair.positive.numpy(),)}
        return dataclasses.replace(pair, **changes)

    arrays = map(bare, folders.shard_pairs(plan, 0))
    record = pairs.write_shard(tmp_path / "arrays", plan, 0, arrays)
    assert record == pairs.write_shard(tmp_path / "tensors", plan, 0, folders.shard_pairs(plan, 0))


def _short(plan: Plan) -> Iterator[Pair]:
    return iter(list(folders.shard_pairs(plan, 0))[:2])


def _long(plan: Plan) -> Iterator[Pair]:
    return (folders.pair(plan, index) for index in range(4))


def _reordered(plan: Plan) -> Iterator[Pair]:
    return (folders.pair(plan, index) for index in (0, 2, 1))


def _changed(**changes: Any) -> Callable[[Plan], Iterator[Pair]]:
    return lambda plan: (dataclasses.replace(folders.pair(plan, index), **changes) for index in range(3))


REFUSED = [
    (_short, "2 pairs; the plan has 3"),
    (_long, "pair 3 comes after the last one, 2"),
    (_reordered, "pair 2 comes where 1 should be"),
    (_changed(positives=()), "has 0 positives; the plan says 1"),
    (_changed(anchor=torch.zeros(1, 6, 5)), "float32"),
    (_changed(anchor=torch.zeros(1, 5, 6, dtype=torch.uint8)), "the plan says uint8"),
    (_changed(metadata={"distance": float("nan")}), "JSON"),
]


@pytest.mark.parametrize(("broken", "message"), REFUSED)
@pytest.mark.parametrize("earlier", [False, True])
def test_pairs_that_are_not_the_plans_leave_no_shard(
    tmp_path: Path, broken: Callable[[Plan], Iterator[Pair]], message: str, earlier: bool
) -> None:
    plan = folders.plan()
    if earlier:
        pairs.write_shard(tmp_path, plan, 0, folders.shard_pairs(plan, 0))
    with pytest.raises(ValueError, match=message):
        pairs.write_shard(tmp_path, plan, 0, broken(plan))
    assert 0 in pairs.missing_shards(tmp_path, plan)
    if not earlier:
        assert folders.files(tmp_path) == {}


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_while_pairs_are_made_leaves_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    plan = folders.plan()

    def torn() -> Iterator[Pair]:
        yield folders.pair(plan, 0)
        yield folders.pair(plan, 1)
        (only,) = (tmp_path / "shards").iterdir()
        assert fnmatch(only.name, "shard-000000.tar.*.partial")
        raise kind("stop")

    with pytest.raises(kind, match="stop"):
        pairs.write_shard(tmp_path, plan, 0, torn())
    assert folders.files(tmp_path) == {}


def test_a_full_disk_is_said_plainly_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = folders.plan()

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("copgen.pairs.tar.TarWriter.add", full)
    with pytest.raises(EnvironmentFault, match=r"disk is full.*shard-000000\.tar"):
        pairs.write_shard(tmp_path, plan, 0, folders.shard_pairs(plan, 0))
    assert folders.files(tmp_path) == {}
