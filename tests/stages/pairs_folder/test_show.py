"""The content of a pairs folder is counted and rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copgen import pairs
from copgen.pairs import layout
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.pairs_folder.import_pairs import import_pairs
from copgen.stages.pairs_folder.show import show, show_pair
from tests.pairs import folders, trees


def written(folder: Path, plan: pairs.Plan, known: Any, numbers: Any = None) -> Path:
    """A folder whose pair k has the metadata known(k); unfinished if only some shards are written."""
    plan.save(folder)
    for number in range(plan.shards) if numbers is None else numbers:
        several = (folders.pair(plan, index) for index in plan.shard_range(number))
        pairs.write_shard(
            folder, plan, number, (pairs.Pair(p.index, p.anchor, p.positives, known(p.index)) for p in several)
        )
    if numbers is None:
        pairs.finish(folder, plan)
    return folder


def test_counts_and_distances_are_those_of_the_metadata(tmp_path: Path) -> None:
    plan = folders.plan(pairs=10)
    folder = written(tmp_path / "pairs", plan, lambda k: {"d": 0.1 * k, "class": k % 3})
    found = show(folder, out=tmp_path / "sheet.png", pairs=4)
    assert (found["pairs"], found["shards"], found["finished"], found["read"]) == (10, 4, True, 10)
    assert found["bytes"] == sum(path.stat().st_size for path in (folder / "shards").glob("*.tar"))
    d = 0.1 * np.arange(10)
    assert found["d"]["mean"] == pytest.approx(d.mean())
    assert found["d"]["std"] == pytest.approx(d.std())
    assert sum(found["d"]["histogram"]["counts"]) == 10
    assert (found["d"]["histogram"]["edges"][0], found["d"]["histogram"]["edges"][-1]) == (0.0, pytest.approx(0.9))
    assert found["classes"] == {"kind": "class", "count": 3, "pairs": {"0": 4, "1": 3, "2": 3}}
    assert found["source"]["generator"]["name"] == "digits"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 64


def test_every_positive_counts_in_d(tmp_path: Path) -> None:
    plan = folders.plan(positives=2)
    folder = written(tmp_path / "pairs", plan, lambda k: {"d": 1.0, "d_positives": [1.0, 3.0]})
    assert show(folder, out=tmp_path / "sheet.png")["d"]["mean"] == pytest.approx(2.0)


@pytest.mark.parametrize("known", [{}, {"d": None, "class": None}, {"d": "far", "d_positives": 3}])
def test_what_is_not_known_is_not_made_up(tmp_path: Path, known: dict[str, Any]) -> None:
    folder = written(tmp_path / "pairs", folders.plan(), lambda k: known)
    found = show(folder, out=tmp_path / "sheet.png")
    assert (found["d"], found["classes"]) == (None, None)


def test_equal_distances_are_one_bin(tmp_path: Path) -> None:
    folder = written(tmp_path / "pairs", folders.plan(), lambda k: {"d": 0.0})
    assert show(folder, out=tmp_path / "sheet.png")["d"]["histogram"]["counts"] == [7]


def test_instances_and_names_are_counted_in_order(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", folders.plan(), lambda k: {"instance": 10 - k % 2})
    assert show(folder, out=tmp_path / "sheet.png")["classes"] == {
        "kind": "instance",
        "count": 2,
        "pairs": {"9": 3, "10": 4},
    }
    folder = written(tmp_path / "b", folders.plan(), lambda k: {"class": "ab"[k % 2]})
    assert show(folder, out=tmp_path / "sheet.png")["classes"]["pairs"] == {"a": 4, "b": 3}


def test_of_a_large_folder_some_shards_are_read_evenly_spread(tmp_path: Path) -> None:
    plan = folders.plan(pairs=30)
    folder = written(tmp_path / "pairs", plan, lambda k: {"d": float(k // 3)})
    found = show(folder, out=tmp_path / "sheet.png", read=9)
    assert (found["pairs"], found["read"]) == (30, 9)
    assert found["d"]["mean"] == pytest.approx((0 + 4 + 9) / 3)  # shards 0, 4 (4.5 to even) and 9


def test_an_unfinished_folder_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    plan = folders.plan(pairs=10)
    folder = written(tmp_path / "pairs", plan, lambda k: {"d": float(k)}, numbers=[0, 3])
    found = show(folder, out=tmp_path / "sheet.png")
    assert (found["finished"], found["shards"], found["shards_planned"]) == (False, 2, 4)
    assert (found["pairs"], found["pairs_planned"]) == (4, 10)  # the last shard is short
    assert found["d"]["histogram"]["edges"][-1] == 9.0
    assert found["bytes"] == sum(path.stat().st_size for path in (folder / "shards").glob("*.tar"))
    empty = tmp_path / "empty"
    plan.save(empty)
    with pytest.raises(DataError, match="Run the same `copgen sample` command"):
        show(empty, out=tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_imported_pairs_say_where_they_are_from(tmp_path: Path) -> None:
    folders.write(tmp_path / "pairs", folders.imported_plan())
    assert show(tmp_path / "pairs", out=tmp_path / "sheet.png")["source"]["imported"]["name"] == "tree"


def test_of_many_imported_pairs_some_of_every_class_are_read(tmp_path: Path) -> None:
    """They are in the order of their classes."""
    names = {f"n{number:02d}": 6 for number in range(8)}
    import_pairs(trees.tree(tmp_path / "tree", names), out=tmp_path / "pairs", pairs_per_shard=10)
    found = show(tmp_path / "pairs", out=tmp_path / "sheet.png", read=24)
    assert (found["pairs"], found["read"]) == (48, 24)
    assert found["classes"] == {"kind": "class", "count": 8, "pairs": dict.fromkeys(names, 3)}


def test_one_pair_is_shown_with_its_members(tmp_path: Path) -> None:
    plan = folders.plan(positives=2)
    folder = written(tmp_path / "pairs", plan, lambda k: {"d": 0.5, "class": k})
    found = show_pair(folder, 4, out=tmp_path / "pair.png")
    assert (found["index"], found["shard"], found["metadata"]) == (4, 1, {"d": 0.5, "class": 4})
    content = layout.tar_path(folder, 1).read_bytes()
    assert [member["name"] for member in found["members"]] == [
        f"000000004.{component}" for component in plan.components
    ]
    for member in found["members"][:-1]:
        assert content[member["offset"] :].startswith(b"\x89PNG")
    with Image.open(tmp_path / "pair.png") as picture:
        assert picture.height > 3 * 64
    with pytest.raises(UsageError, match=r"no pair 7.*0 to 6"):
        show_pair(folder, 7, out=tmp_path / "none.png")
