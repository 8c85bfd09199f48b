"""Pairs as files: the images of the reader, distinct positives, checks while they are read, and classes."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import pairs
from copgen.data import pairs as data_pairs
from copgen.data.decoding import decode
from copgen.data.pairs import GeneratedPairs, open_generated
from copgen.data.pairs_folder import PairsFolder
from copgen.data.positives import positives_at_random
from copgen.pairs import layout
from copgen.pairs.index_reader import read_index
from copgen.pairs.scan import scan
from copgen.pairs.shard import Pair
from copgen.runtime.errors import DataError, UsageError
from tests.pairs import folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pairs with three positives each, in shards of three."""
    folders.write(tmp_path / "pairs", folders.plan(positives=3))
    return tmp_path / "pairs"


def write_with(folder: Path, metadata: list[Any], **changes: Any) -> Path:
    """A folder whose pairs have these metadata."""
    made = folders.plan(pairs=len(metadata), **changes)
    made.save(folder)
    for number in range(made.shards):
        known = (folders.pair(made, index) for index in made.shard_range(number))
        shard = (Pair(one.index, one.anchor, one.positives, metadata[one.index]) for one in known)
        pairs.write_shard(folder, made, number, shard)
    pairs.finish(folder, made)
    return folder


def test_the_images_are_those_of_the_reader(folder: Path) -> None:
    source = PairsFolder(folder, seed=0)
    assert (len(source), source.channels, source.size, source.labels) == (7, 1, (6, 5), None)
    for pair in pairs.read(folder):
        images = (pair.anchor, *pair.positives)
        for column, image in enumerate(images):
            where = source.where(pair.index, column)
            assert torch.equal(decode(source.encoded(pair.index, column), 1, where), image)
    assert source.where(4, 2) == f"{layout.tar_path(folder, 1)}: 000000004.positive-1.png"


@pytest.mark.parametrize("format", ["png", "jpg", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_reader_in_every_format(tmp_path: Path, format: str, channels: int) -> None:
    shape = (channels, 16, 12)
    how = {"image_format": format, "quality": None if format == "png" else 80, "image_shape": shape}
    folders.write(tmp_path, folders.plan(**how, versions=dict(pairs.encoder_versions(format, shape))))  # type: ignore[arg-type]
    source = PairsFolder(tmp_path, seed=0)
    for pair in pairs.read(tmp_path):
        for column, image in enumerate((pair.anchor, pair.positive)):
            assert torch.equal(decode(source.encoded(pair.index, column), channels, "x"), image)


def test_the_index_says_what_a_scan_finds(folder: Path) -> None:
    plan = folders.plan(positives=3)
    for number in range(plan.shards):
        scanned, read = scan(folder, plan, number), read_index(folder, plan, number)
        assert (read.offsets == scanned.offsets).all()
        assert (read.sizes == scanned.sizes).all()


def test_few_pairs_are_in_memory_and_give_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = open_generated(folder, seed=4)
    monkeypatch.setattr(data_pairs, "MOST_IMAGES", 5)
    large = open_generated(folder, seed=4)
    assert isinstance(small, GeneratedPairs)
    assert isinstance(large, PairsFolder)
    assert small.inputs == large.inputs
    assert torch.equal(small.columns(range(50), 2), large.columns(range(50), 2))
    items, columns = torch.arange(7), torch.arange(7) % 4
    found = [decode(large.encoded(int(i), int(c)), 1, "x") for i, c in zip(items, columns, strict=True)]
    assert torch.equal(small.batch(items, columns, torch.device("cpu")), pairs.from_uint8(torch.stack(found)))


def test_positives_are_distinct_and_a_function_of_the_sample() -> None:
    for views in (1, 2, 3, 5):
        whole = positives_at_random(range(200), views, 4, seed=1)
        assert whole.shape == (200, views)
        assert bool((whole[:, 0] == 0).all())
        assert all(len(set(row.tolist())) == views for row in whole)
        assert int(whole.max()) <= 4
        assert torch.equal(whole[30:60], positives_at_random(range(30, 60), views, 4, seed=1))
    counts = positives_at_random(range(2000), 3, 4, seed=1)[:, 1:].flatten().bincount(minlength=5)
    assert counts[1:].tolist() == pytest.approx([1000] * 4, abs=120)
    with pytest.raises(UsageError, match="the pairs have 4"):
        positives_at_random(range(2), 6, 4, seed=1)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_modified_shard_is_found_while_training_and_named(folder: Path) -> None:
    path = layout.tar_path(folder, 1)
    flip(path, 600)  # within the first image
    source = PairsFolder(folder, seed=0)
    with pytest.raises(DataError, match="shard-000001") as caught:
        source.hashes.wait()
    assert caught.value.of_one_rank
    with pytest.raises(DataError, match="shard-000001"):
        source.columns(range(4), 2)
    with pytest.raises(DataError, match="shard-000001"):
        source.unverified()


def test_each_shard_is_hashed_once_in_a_thread_of_its_own(folder: Path) -> None:
    source = PairsFolder(folder, seed=0)
    before = threading.active_count()
    source.columns(range(4), 2)
    source.columns(range(4), 2)
    assert threading.active_count() <= before + 1
    source.hashes.wait()
    assert (source.hashes.done, source.unverified()) == (3, "")


def test_a_copy_for_a_worker_process_reads_the_same(folder: Path) -> None:
    source = PairsFolder(folder, seed=0)
    source.columns(range(4), 2)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.encoded(5, 1) == source.encoded(5, 1)
    assert copy.hashes.done == 0


def test_what_was_not_hashed_is_told(folder: Path) -> None:
    source = PairsFolder(folder, seed=0)
    source.hashes.close()
    source.hashes.wait()
    assert "copgen verify" in source.unverified()


def test_the_processes_of_a_machine_share_the_hashes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    source = PairsFolder(folder, seed=0)
    flip(layout.tar_path(folder, 0), 600)
    source.hashes.wait()
    assert (len(source.hashes), source.hashes.done) == (1, 1)


@pytest.mark.parametrize("name", ["shards/shard-000001.tar", "shards/shard-000001.idx", "records/shard-000001.json"])
def test_a_missing_or_truncated_file_is_named_at_the_start(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-9])
    with pytest.raises(DataError, match="shard-000001"):
        PairsFolder(folder, seed=0)
    (folder / name).unlink()
    with pytest.raises(DataError, match="shard-000001"):
        PairsFolder(folder, seed=0)


def test_an_index_that_points_elsewhere_is_refused(folder: Path) -> None:
    path = layout.index_path(folder, 0)
    words = path.read_text("ascii").split(" ")
    words[2], words[6] = words[6], words[2]  # the offsets of the first two members
    path.write_text(" ".join(words), "ascii")
    with pytest.raises(DataError, match=r"000000000\.anchor\.png"):
        PairsFolder(folder, seed=0).encoded(0, 0)


@pytest.mark.parametrize("text", ["", "v1.2 4\n", "v1.2 3\nanchor.png x 1 a\n", "v1.1 3\n"])
def test_what_is_no_index_is_refused_by_name(folder: Path, text: str) -> None:
    layout.index_path(folder, 0).write_text(text)
    with pytest.raises(DataError, match=r"shard-000000\.idx"):
        read_index(folder, folders.plan(positives=3), 0)


@pytest.mark.parametrize(
    ("classes", "labels", "names"),
    [
        ([{"class": 2}, {"class": 0}, {"class": 2}], [2, 0, 2], ("0", "1", "2")),
        ([{"class": "n2"}, {"class": "n1"}, {"class": "n2"}], [1, 0, 1], ("n1", "n2")),
        ([{"instance": 1}, {"instance": 1, "class": None}, {"instance": 0}], [1, 1, 0], ("0", "1")),
    ],
)
def test_the_classes_of_pairs(tmp_path: Path, classes: list[Any], labels: list[int], names: tuple[str, ...]) -> None:
    for large in (False, True):
        made = write_with(tmp_path / str(large), classes, pairs_per_shard=2)
        source = PairsFolder(made, seed=0, labelled=True) if large else open_generated(made, seed=0, labelled=True)
        assert source.labels is not None
        assert (source.labels.tolist(), source.classes) == (labels, names)


def test_pairs_without_classes_have_none(tmp_path: Path) -> None:
    made = write_with(tmp_path / "pairs", [{"class": None}, {}])
    source = PairsFolder(made, seed=0, labelled=True)
    assert (source.labels, source.classes) == (None, ())


@pytest.mark.parametrize("other", [{}, {"class": "a"}, {"class": True}, {"class": -1}])
def test_a_pair_without_a_class_among_others_is_named(tmp_path: Path, other: dict[str, Any]) -> None:
    made = write_with(tmp_path / "pairs", [{"class": 1}, {"class": 0}, other], pairs_per_shard=2)
    with pytest.raises(DataError, match=r"shard-000001\.tar: 000000002\.json"):
        PairsFolder(made, seed=0, labelled=True)
