"""A shard without its record does not exist; the manifest is written when all records exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copgen import pairs
from copgen.pairs import layout
from copgen.runtime.errors import DataError
from tests.pairs import folders


def test_shards_are_missing_until_their_record_is_there(tmp_path: Path) -> None:
    plan = folders.plan()
    assert pairs.missing_shards(tmp_path, plan) == [0, 1, 2]
    pairs.write_shard(tmp_path, plan, 1, folders.shard_pairs(plan, 1))
    assert pairs.missing_shards(tmp_path, plan) == [0, 2]
    layout.record_path(tmp_path, 1).unlink()
    assert pairs.missing_shards(tmp_path, plan) == [0, 1, 2]


def test_a_tar_without_a_record_is_overwritten(tmp_path: Path) -> None:
    plan = folders.plan()
    (tmp_path / "shards").mkdir()
    layout.tar_path(tmp_path, 0).write_bytes(b"left by a crash")
    folders.write(tmp_path, plan)
    assert pairs.verify(tmp_path, "full") == []


@pytest.mark.parametrize("name", ["shards/shard-000001.tar", "shards/shard-000001.idx", "records/shard-000001.json"])
@pytest.mark.parametrize("fault", ["gone", "cut"])
def test_the_same_command_mends_a_lost_or_cut_file(tmp_path: Path, name: str, fault: str) -> None:
    plan = folders.plan()
    folders.write(tmp_path, plan)
    whole = folders.files(tmp_path)
    if fault == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(whole[name][:-7])
    assert pairs.missing_shards(tmp_path, plan) == [1]
    folders.write(tmp_path, plan)
    assert folders.files(tmp_path) == whole


def test_a_record_of_another_plan_does_not_count(tmp_path: Path) -> None:
    pairs.write_shard(tmp_path, folders.plan(), 0, folders.shard_pairs(folders.plan(), 0))
    assert pairs.missing_shards(tmp_path, folders.plan(seed=4)) == [0, 1, 2]


def test_the_manifest_adds_up_the_records(tmp_path: Path) -> None:
    plan = folders.plan()
    manifest = folders.write(tmp_path, plan)
    assert (manifest.pairs, len(manifest.shards), manifest.plan) == (7, 3, plan.digest)
    assert manifest.bytes == sum(layout.tar_path(tmp_path, number).stat().st_size for number in range(3))
    assert json.loads((tmp_path / "manifest.json").read_text())["pairs"] == 7
    before = folders.files(tmp_path)
    pairs.finish(tmp_path, plan)
    assert folders.files(tmp_path) == before


def test_an_unfinished_folder_gets_no_manifest(tmp_path: Path) -> None:
    plan = folders.plan()
    plan.save(tmp_path)
    pairs.write_shard(tmp_path, plan, 0, folders.shard_pairs(plan, 0))
    with pytest.raises(DataError, match=r"unfinished: 1 of 3 shards are written\. Run the same `copgen sample`"):
        pairs.finish(tmp_path, plan)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("positives", [1, 3])
def test_the_card_says_what_made_it_and_how_to_read_it(tmp_path: Path, positives: int) -> None:
    plan = folders.plan(positives=positives)
    folders.write(tmp_path, plan)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n")
    for text in ("7 image pairs of digits", "a" * 64, "b" * 64, "delta = 0.23", "copgen.pairs.read", "n<1K"):
        assert text in card
    for component in plan.components:
        assert f"`000000000.{component}`" in card


@pytest.mark.parametrize(("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**9, "n>1B")])
def test_the_card_gives_the_size_category(count: int, size: str) -> None:
    from copgen.pairs.card import card

    assert f"\n- {size}\n" in card(folders.plan(pairs=count), total_bytes=0)
