"""A random sample of a pairs folder: what is in it, for each kind of folder, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from copgen import pairs
from copgen.data.pairs_sample import PairsSample
from copgen.pairs import layout
from copgen.runtime.errors import DataError
from tests.pairs import folders

QUALITY = {"png": None, "jpg": 95, "webp": 90}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folders.write(tmp_path / "pairs", folders.plan())
    return tmp_path / "pairs"


@pytest.mark.parametrize("image_format", QUALITY)
@pytest.mark.parametrize("positives", [1, 3])
def test_the_sample_has_what_the_reader_gives(image_format: str, positives: int, tmp_path: Path) -> None:
    shape = (3, 8, 8)
    versions = pairs.encoder_versions(image_format, shape)  # type: ignore[arg-type]
    made = folders.plan(
        image_format=image_format,
        quality=QUALITY[image_format],
        positives=positives,
        image_shape=shape,
        versions={"copgen": "0.1.0", **versions},
    )
    folders.write(tmp_path, made)
    whole = list(pairs.read(tmp_path))
    sample = PairsSample(tmp_path, n=5, seed=1)
    assert len(sample) == len(set(sample.items.tolist())) == 5
    number = 0
    for batch in sample.batches(2, workers=2):
        for k in range(len(batch.anchors)):
            pair, chosen = whole[int(sample.items[number])], int(sample.chosen[number])
            assert torch.equal(batch.anchors[k], pair.anchor)
            assert torch.equal(batch.positives[k], pair.positives[chosen])
            assert batch.metadata[k] == pair.metadata
            anchor, positive, metadata = sample.pair(number)
            assert torch.equal(anchor, pair.anchor)
            assert torch.equal(positive, pair.positives[chosen])
            assert metadata == pair.metadata
            number += 1
        assert not batch.repeated.any()
    assert number == 5
    assert 0 <= int(sample.chosen.min()) <= int(sample.chosen.max()) < positives


def test_it_is_random_and_a_function_of_the_seed(folder: Path) -> None:
    assert PairsSample(folder, n=4, seed=0).items.tolist() == PairsSample(folder, n=4, seed=0).items.tolist()
    assert PairsSample(folder, n=4, seed=0).items.tolist() == PairsSample(folder, n=7, seed=0).items.tolist()[:4]
    assert len({tuple(PairsSample(folder, n=4, seed=seed).items.tolist()) for seed in range(5)}) > 1
    assert sorted(PairsSample(folder, n=1000, seed=3).items.tolist()) == list(range(7))


def test_each_positive_is_sampled(tmp_path: Path) -> None:
    folders.write(tmp_path, folders.plan(pairs=40, positives=3))
    assert set(PairsSample(tmp_path, n=40, seed=0).chosen.tolist()) == {0, 1, 2}


def test_repeated_positives_are_found(tmp_path: Path) -> None:
    made = folders.plan(pairs=2, positives=3)
    made.save(tmp_path)
    twice = folders.pair(made, 1)
    twice = pairs.Pair(1, twice.anchor, (twice.positives[0], twice.positives[1], twice.positives[0]))
    pairs.write_shard(tmp_path, made, 0, [folders.pair(made, 0), twice])
    pairs.finish(tmp_path, made)
    sample = PairsSample(tmp_path, n=2, seed=0)
    (batch,) = sample.batches(8)
    assert batch.repeated.tolist() == [item == 1 for item in sample.items.tolist()]


def test_only_shards_of_the_sample_are_opened(folder: Path) -> None:
    sample = PairsSample(folder, n=1, seed=0)
    shard = int(sample.items[0]) // 3
    for other in range(3):
        if other != shard:
            layout.tar_path(folder, other).unlink()
    assert len(next(iter(sample.batches(8))).anchors) == 1


def test_folders_that_are_not_whole_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        PairsSample(tmp_path / "nowhere", n=1, seed=0)
    (folder / layout.MANIFEST).unlink()
    with pytest.raises(DataError, match="unfinished"):
        PairsSample(folder, n=1, seed=0)


def test_damaged_images_and_metadata_are_named(folder: Path) -> None:
    path = layout.tar_path(folder, 0)
    whole = path.read_bytes()
    start = whole.index(b"\x89PNG")
    path.write_bytes(whole[:start] + b"XXXX" + whole[start + 4 :])
    with pytest.raises(DataError, match=r"shard-000000.tar: member 000000000.anchor.png"):
        list(PairsSample(folder, n=7, seed=0).batches(7))
    known = json.dumps({"class": None, "distance": 0.0}, separators=(",", ":")).encode()
    assert known in whole
    path.write_bytes(whole.replace(known, b"[" + known[1:-1] + b"]"))
    with pytest.raises(DataError, match=r"000000000.json is not a JSON object"):
        list(PairsSample(folder, n=7, seed=0).batches(7))
