"""Pairs are read as they were written: in order, by index, from memory and from the shards."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen import pairs
from copgen.pairs import layout
from copgen.runtime.errors import DataError, ExitCode, UsageError
from tests.pairs import folders

SHAPES = [{}, {"image_shape": (3, 4, 7)}, {"positives": 3, "image_shape": (3, 2, 2)}]


def _same(one: pairs.Pair, other: pairs.Pair) -> bool:
    images = zip((one.anchor, *one.positives), (other.anchor, *other.positives), strict=True)
    return (one.index, one.metadata) == (other.index, other.metadata) and all(torch.equal(a, b) for a, b in images)


@pytest.mark.parametrize("change", SHAPES)
def test_pairs_come_back_in_order(tmp_path: Path, change: dict[str, Any]) -> None:
    plan = folders.plan(**change)
    folders.write(tmp_path, plan)
    found = list(pairs.read(tmp_path))
    assert [pair.index for pair in found] == list(range(7))
    assert all(_same(pair, folders.pair(plan, pair.index)) for pair in found)
    assert torch.equal(found[2].positive, found[2].positives[0])
    assert found[0].anchor.dtype == torch.uint8


@pytest.mark.parametrize("change", SHAPES)
@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_a_batch_equals_what_is_read_in_order(tmp_path: Path, change: dict[str, Any], cache_bytes: int) -> None:
    plan = folders.plan(**change)
    folders.write(tmp_path, plan)
    opened = pairs.open_pairs(str(tmp_path), "full", cache_bytes=cache_bytes)
    assert (len(opened), opened.plan, opened.cached) == (7, plan, cache_bytes > 0)
    in_order = list(pairs.read(tmp_path))
    for indices in ([6, 0, 3, 3, 5], torch.tensor([1, 6]), range(7), []):
        for which in range(plan.positives):
            anchors, positives = opened.batch(indices, which=which)
            rows = [in_order[int(k)] for k in indices]
            assert anchors.shape == positives.shape == (len(rows), *plan.image_shape)
            assert anchors.dtype == positives.dtype == torch.uint8
            assert all(torch.equal(x, pair.anchor) for x, pair in zip(anchors, rows, strict=True))
            assert all(torch.equal(x, pair.positives[which]) for x, pair in zip(positives, rows, strict=True))
    assert _same(opened[4], in_order[4])


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_each_row_may_choose_its_positive(tmp_path: Path, cache_bytes: int, as_tensor: bool) -> None:
    plan = folders.plan(positives=3)
    folders.write(tmp_path, plan)
    which: Sequence[int] | Tensor = torch.tensor([2, 0, 1]) if as_tensor else [2, 0, 1]
    _, positives = pairs.open_pairs(tmp_path, cache_bytes=cache_bytes).batch([5, 1, 5], which=which)
    for row, (index, choice) in enumerate([(5, 2), (1, 0), (5, 1)]):
        assert torch.equal(positives[row], folders.pair(plan, index).positives[choice])


@pytest.mark.parametrize(("fits", "spare"), [(True, 0), (False, -1)])
def test_the_cache_keeps_to_its_limit(tmp_path: Path, fits: bool, spare: int) -> None:
    folders.write(tmp_path, folders.plan(positives=2))
    assert pairs.open_pairs(tmp_path, cache_bytes=7 * 3 * 30 + spare).cached is fits


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@pytest.mark.parametrize("indices", [[7], [-1], [[0, 1]]])
def test_indices_out_of_range_are_refused(tmp_path: Path, cache_bytes: int, indices: list[int]) -> None:
    folders.write(tmp_path, folders.plan())
    opened = pairs.open_pairs(tmp_path, cache_bytes=cache_bytes)
    with pytest.raises(IndexError, match=r"pair indices .* 0\.\.6"):
        opened.batch(indices)
    with pytest.raises(IndexError, match=r"positive indices .* 0\.\.0"):
        opened.batch([0], which=1)
    with pytest.raises(IndexError, match="2 positive indices for 1 pairs"):
        opened.batch([0], which=[0, 0])
    with pytest.raises(IndexError, match="pair 7"):
        opened[7]


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_an_open_set_can_be_sent_to_another_process(tmp_path: Path, cache_bytes: int) -> None:
    folders.write(tmp_path, folders.plan())
    opened = pairs.open_pairs(tmp_path, cache_bytes=cache_bytes)
    again = pickle.loads(pickle.dumps(opened))
    assert torch.equal(again.batch([2, 6])[1], opened.batch([2, 6])[1])


def test_reading_writes_nothing(tmp_path: Path) -> None:
    folders.write(tmp_path, folders.plan())
    before = folders.files(tmp_path)
    tmp_path.chmod(0o500)
    try:
        assert len(list(pairs.read(tmp_path, "full"))) == 7
    finally:
        tmp_path.chmod(0o700)
    assert folders.files(tmp_path) == before


@pytest.mark.parametrize("verify", ["none", "quick", "full"])
def test_an_unfinished_folder_is_refused_whatever_the_level(tmp_path: Path, verify: Any) -> None:
    plan = folders.plan()
    plan.save(tmp_path)
    for number in (0, 2):
        pairs.write_shard(tmp_path, plan, number, folders.shard_pairs(plan, number))
    with pytest.raises(DataError, match=r"unfinished: 2 of 3 shards.*same `copgen sample` command again") as caught:
        pairs.open_pairs(tmp_path, verify)
    assert caught.value.code is ExitCode.DATA


@pytest.mark.parametrize("verify", ["none", "quick", "full"])
def test_what_is_no_pairs_folder_is_refused_with_what_was_expected(tmp_path: Path, verify: Any) -> None:
    with pytest.raises(DataError, match=r"nowhere.*copgen sample"):
        pairs.open_pairs(tmp_path / "nowhere", verify)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="There is no folder"):
        pairs.open_pairs(tmp_path / "file", verify)
    with pytest.raises(DataError, match=r"is not a pairs folder: it has no plan\.json\. Expected plan\.json, shards/"):
        pairs.open_pairs(tmp_path, verify)


def test_a_bad_folder_is_refused_before_the_first_pair(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        pairs.read(tmp_path / "nowhere")


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'quick'"):
        pairs.open_pairs(tmp_path, "quik")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Did you mean 'full'"):
        pairs.verify(tmp_path, "ful")  # type: ignore[arg-type]


def test_a_shard_lost_while_reading_is_named(tmp_path: Path) -> None:
    folders.write(tmp_path, folders.plan())
    opened = pairs.open_pairs(tmp_path, cache_bytes=0)
    opened.batch([0])
    path = layout.tar_path(tmp_path, 0)
    content = path.read_bytes()
    path.write_bytes(content[:600])
    with pytest.raises(DataError, match=r"shard-000000\.tar: member 000000000\.anchor\.png was truncated"):
        opened.batch([0])
    path.unlink()
    for index in (0, 1):
        with pytest.raises(DataError, match=r"shard-000000\.tar cannot be read"):
            opened.batch([index])
