"""Tar shards in the WebDataset layout: images at their offsets, classes as numbers or names, splits, damage."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from copgen.data import tar_shards
from copgen.data.datasets import open_dataset
from copgen.data.image_folder import listed_once
from copgen.data.splits import SPLITS
from copgen.data.tar_members import Member, members
from copgen.data.tar_shards import open_shards
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.kept_files import KeptFiles
from tests.data import made

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def sample(key: str, seed: int, word: str, end: str = "png") -> dict[str, bytes]:
    return {f"{key}.{end}": made.image(seed), f"{key}.cls": word.encode()}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("length", [10, 90, 99, 100, 101, 150, 400])
def test_members_are_those_that_tarfile_finds(tmp_path: Path, format: int, length: int) -> None:
    stems = ["a" * 40 + "/" + "ü" * k for k in (1, (length - 41) // 2)] if length > 50 else ["x"]
    contents = {f"{stem}.{end}": bytes([k]) * (k * 511) for stem in stems for k, end in enumerate(("png", "cls"))}
    try:
        path = made.tar(tmp_path / "x.tar", contents, format=format)
    except ValueError:
        pytest.skip("too long for this format")
    with tarfile.open(path) as stream:
        wanted = [(info.name, info.offset_data, info.size) for info in stream]
    assert [(one.name, one.offset, one.size) for one in members(path)] == wanted


def test_images_and_classes_in_the_order_of_the_shards(tmp_path: Path) -> None:
    made.tar(tmp_path / "train-01.tar", sample("a/c", 3, "0", "webp"))
    made.tar(
        tmp_path / "train-00.tar", sample("a/x", 1, "2") | sample("a/b", 2, " 1\n", "JPG") | {"a/x.txt": b"caption"}
    )
    source = open_shards(tmp_path, "train")
    assert [source.where(k).rpartition("/")[2] for k in range(3)] == ["x.png", "b.JPG", "c.webp"]
    assert [source.encoded(k, 0) for k in range(3)] == [made.image(k + 1) for k in range(3)]
    assert source.labels is not None
    assert (source.labels.tolist(), source.classes) == ([2, 1, 0], ("0", "1", "2"))
    assert str(tmp_path / "train-01.tar") in source.where(2)
    assert source.columns(range(2), 2).tolist() == [[0, 0], [0, 0]]


def test_a_shard_stays_open_while_other_threads_push_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another file would get its descriptor, and the image would be read from that one."""
    for number in range(3):
        made.tar(tmp_path / f"train-{number}.tar", sample("x", number, str(number)))
    source = open_shards(tmp_path, "train")
    source._files = KeptFiles(most=1)
    pread, others = os.pread, [1, 2]

    def late(number: int, size: int, offset: int) -> bytes:
        while others:
            source.encoded(others.pop())
        return pread(number, size, offset)

    monkeypatch.setattr(os, "pread", late)
    assert source.encoded(0) == made.image(0)


def test_each_shard_is_listed_once_for_all_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(10):
        made.tar(tmp_path / f"train-{k}.tar", sample("x", k, "cat"))
    made.tar(tmp_path / "val-0.tar", sample("x", 10, "cat"))
    apart = [open_shards(tmp_path, split) for split in SPLITS]
    read: list[Path] = []

    def noted(path: Path) -> Iterator[Member]:
        read.append(path)
        return members(path)

    monkeypatch.setattr(tar_shards, "members", noted)
    with listed_once():
        together = [open_shards(tmp_path, split) for split in SPLITS]
    assert len(set(read)) == len(read) == 11
    for one, other in zip(together, apart, strict=True):
        assert [one.where(k) for k in range(len(one))] == [other.where(k) for k in range(len(other))]
        assert (one.classes, one.inputs) == (other.classes, other.inputs)


def test_names_of_classes_and_json(tmp_path: Path) -> None:
    documents = {
        "1.png": made.image(1),
        "1.json": json.dumps({"class": "dog"}).encode(),
        "2.png": made.image(2),
        "2.json": json.dumps({"label": "cat", "class": None}).encode(),
    }
    made.tar(tmp_path / "train.tar", documents)
    made.tar(tmp_path / "val.tar", {"3.png": made.image(3), "3.json": b'{"class": "dog"}'})
    train, test = open_shards(tmp_path, "train"), open_shards(tmp_path, "test")
    assert train.labels is not None
    assert test.labels is not None
    assert (train.labels.tolist(), test.labels.tolist(), train.classes) == ([1, 0], [1], ("cat", "dog"))
    assert test.classes == train.classes


def test_images_without_classes(tmp_path: Path) -> None:
    made.tar(tmp_path / "photos.tar", {f"{k}.jpg": made.image(k, format="JPEG") for k in range(10)})
    source = open_dataset(tmp_path, "train")
    assert (len(source), source.labels, source.classes) == (9, None, ())
    assert len(open_dataset(tmp_path, "validation")) == 1
    with pytest.raises(UsageError, match="no test split"):
        open_dataset(tmp_path, "test")


def test_splits_by_name_or_folder(tmp_path: Path) -> None:
    for name, count in (("imagenet-train-000.tar", 4), ("imagenet-val-000.tar", 2), ("imagenet-test-000.tar", 3)):
        made.tar(tmp_path / "a" / name, {f"{k}.png": made.image(k) for k in range(count)})
    for name, count in (("train/0.tar", 4), ("train/1.tar", 1), ("val/0.tar", 2)):
        made.tar(tmp_path / "b" / name, {f"{k}.png": made.image(k) for k in range(count)})
    assert [len(open_dataset(tmp_path / "a", part)) for part in ("train", "validation", "test")] == [4, 2, 3]
    assert len(open_dataset(tmp_path / "a", "train+validation")) == 6
    assert [len(open_dataset(tmp_path / "b", part)) for part in ("train", "validation", "test")] == [4, 1, 2]


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ({"7.cls": b"1"}, "sample 7 has no image"),
        ({"7.png": b"", "7.jpg": b""}, "sample 7 has two images"),
        ({"7.png": b"", "8.png": b"", "8.cls": b"1"}, "sample 7 has no class"),
        ({"7.png": b"", "7.json": b"{"}, r"7\.json"),
        ({"7.txt": b""}, "no images"),
        ({"a.7.png": b"", "8.png": b""}, r"a\.7\.png"),
        ({"a.7.png": b"", "a.7.cls": b"1"}, r"a\.7\.png"),
        ({"7.png": b"", "7.cls": b" \n"}, r"7\.cls is empty"),
        ({"7.png": b"", "7.cls": b"999999999"}, "999999999"),
    ],
)
def test_incomplete_samples_are_named(tmp_path: Path, contents: dict[str, bytes], says: str) -> None:
    made.tar(tmp_path / "train.tar", contents)
    with pytest.raises(DataError, match=says):
        open_shards(tmp_path, "train")


def test_an_image_twice_is_named(tmp_path: Path) -> None:
    made.tar(tmp_path / "train.tar", {"7.png": b"x"})
    made.tar(tmp_path / "train.tar", {"7.png": b"x"}, mode="a")
    with pytest.raises(DataError, match=r"7\.png occurs twice"):
        open_shards(tmp_path, "train")


@pytest.mark.parametrize("left", [0, 100, 512, 700, 1500])
def test_a_truncated_tar_is_named(tmp_path: Path, left: int) -> None:
    path = made.tar(tmp_path / "train.tar", sample("1", 1, "0") | sample("2", 2, "0"))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match=r"train\.tar"):
        open_shards(tmp_path, "train")


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    path = made.tar(tmp_path / "train.tar", sample("1", 1, "0"))
    data = bytearray(path.read_bytes())
    data[130] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train\.tar has no tar header at byte 0"):
        open_shards(tmp_path, "train")


@pytest.mark.parametrize("size", ["²", "-1", "9" * 5000, ""])
def test_an_invalid_size_in_a_pax_header_is_named(tmp_path: Path, size: str) -> None:
    info = tarfile.TarInfo("1.png")
    info.pax_headers = {"size": size}
    (tmp_path / "train.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match=r"train\.tar"):
        open_shards(tmp_path, "train")


def test_a_check_sum_that_is_not_octal_is_named(tmp_path: Path) -> None:
    path = made.tar(tmp_path / "train.tar", sample("1", 1, "0"))
    data = bytearray(path.read_bytes())
    data[148:156] = b"999999\0 "
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train\.tar has no tar header at byte 0"):
        open_shards(tmp_path, "train")


def test_classes_that_are_not_utf8_stay_apart(tmp_path: Path) -> None:
    contents = {f"{k}.png": made.image(k) for k in range(2)} | {"0.cls": b"\xe9", "1.cls": b"\xe8"}
    made.tar(tmp_path / "train.tar", contents)
    assert len(open_shards(tmp_path, "train").classes) == 2


def test_a_shard_that_is_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    made.tar(tmp_path / "train-0.tar", sample("1", 1, "0"))
    (tmp_path / "train-1.tar").symlink_to("/unmounted/train-1.tar")
    with pytest.raises(DataError, match=r"train-1\.tar.*/unmounted"):
        open_shards(tmp_path, "train")


def test_compressed_shards_are_refused_with_the_remedy(tmp_path: Path) -> None:
    made.tar(tmp_path / "train-0.tar.gz", sample("1", 1, "0"), mode="w:gz")
    with pytest.raises(DataError, match=r"Unpack compressed shards to \.tar"):
        open_dataset(tmp_path, "train")


def test_a_shard_that_shrinks_is_named(tmp_path: Path) -> None:
    path = made.tar(tmp_path / "train.tar", sample("1", 1, "0") | sample("2", 2, "0"))
    source = open_shards(tmp_path, "train")
    path.write_bytes(path.read_bytes()[:1600])
    with pytest.raises(DataError, match=r"train\.tar: 2\.png"):
        source.encoded(1, 0)
