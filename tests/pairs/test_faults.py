"""Every truncation and every flipped byte of a folder is found, and the command that fixes it names the right shard."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from copgen import pairs
from copgen.pairs import layout
from tests.pairs import folders

Draw = Callable[[random.Random, int], int]
CUTS: dict[str, Draw] = {
    "anywhere": lambda draw, size: draw.randrange(size),
    "at 512 bytes": lambda draw, size: 512 * draw.randrange(-(-size // 512)),
    "at 10,240 bytes": lambda draw, size: 10_240 * draw.randrange(-(-size // 10_240)),
}


def of_length(short: int, long: int) -> list[Any]:
    """The short version in every run of the tests, the long one in the soak."""
    return [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.soak)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of 40 pairs, some 120 kB each; every test puts back what it has changed."""
    folder = tmp_path_factory.mktemp("faults") / "pairs"
    plan = folders.plan(pairs=160, pairs_per_shard=40, image_shape=(3, 12, 12))
    folders.write(folder, plan)
    assert layout.tar_path(folder, 0).stat().st_size > 10 * 10_240
    assert pairs.verify(folder, "full") == []
    return folder


def damaged(path: Path, contents: Iterator[bytes]) -> Iterator[bytes]:
    """The file with one content after the other, and finally its original content."""
    good = path.read_bytes()
    try:
        for content in contents:
            assert content != good
            path.write_bytes(content)
            yield content
    finally:
        path.write_bytes(good)


def assert_mended_by(folder: Path, level: Any, number: int) -> None:
    """The problems are of one shard, and so is the command."""
    found = pairs.verify(folder, level)
    assert found
    command = ("copgen", "sample", "--out", f"{folder}/", "--only", str(number))
    assert {(problem.shard, problem.command) for problem in found} == {(number, command)}
    assert all(f"shard-{number:06d}" in problem.what for problem in found)


@pytest.mark.parametrize("count", of_length(15, 300))
@pytest.mark.parametrize("kind", CUTS)
def test_every_truncated_tar_is_found_by_both_levels(whole: Path, kind: str, count: int) -> None:
    draw = random.Random(f"cuts {kind}")
    for _ in range(count):
        number = draw.randrange(4)
        path = layout.tar_path(whole, number)
        size = path.stat().st_size
        cut = CUTS[kind](draw, size)
        for _ in damaged(path, iter([path.read_bytes()[:cut]])):
            assert_mended_by(whole, "quick", number)
            assert_mended_by(whole, "full", number)


@pytest.mark.parametrize("count", of_length(20, 300))
def test_every_flipped_byte_of_a_shard_is_found(whole: Path, count: int) -> None:
    draw = random.Random("flips")
    for _ in range(count):
        number = draw.randrange(4)
        path = draw.choice([layout.tar_path, layout.index_path, layout.record_path])(whole, number)
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        for _ in damaged(path, iter([bytes(content)])):
            found = pairs.verify(whole, "full")
            assert {problem.shard for problem in found} == {number}
            assert found[0].command == ("copgen", "sample", "--out", f"{whole}/", "--only", str(number))


@pytest.mark.parametrize("count", of_length(20, 300))
@pytest.mark.parametrize("name", [layout.PLAN, layout.MANIFEST])
def test_every_flipped_byte_of_plan_and_manifest_is_found(whole: Path, name: str, count: int) -> None:
    draw = random.Random(f"flips of {name}")
    good = (whole / name).read_bytes()
    for _ in range(count):
        content = bytearray(good)
        content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        for _ in damaged(whole / name, iter([bytes(content)])):
            found = pairs.verify(whole, "full")
            assert found
            if found[0].shard is not None:  # the manifest names another hash for a shard: the two contradict each other
                assert name == layout.MANIFEST
                assert "contradict" in found[0].what


@pytest.mark.parametrize("level", ["quick", "full"])
def test_a_shard_in_the_place_of_another_is_found(whole: Path, level: str) -> None:
    """A doubled shard: three files copied over another's."""
    for place in (layout.tar_path, layout.index_path, layout.record_path):
        path = place(whole, 2)
        for _ in damaged(path, iter([place(whole, 1).read_bytes()])):
            assert (found := pairs.verify(whole, "full"))
            assert found[0].shard == 2
    good = {place(whole, 2): place(whole, 2).read_bytes() for place in (layout.tar_path, layout.record_path)}
    for path in good:
        path.write_bytes(path.with_name(path.name.replace("2", "1")).read_bytes())
    assert_mended_by(whole, level, 2)
    for path, content in good.items():
        path.write_bytes(content)
    assert pairs.verify(whole, "full") == []
