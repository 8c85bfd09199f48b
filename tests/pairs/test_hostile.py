"""Malicious tars are refused with the reason, although all hashes and counts agree; nothing is unpacked."""

from __future__ import annotations

import io
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from benchmarks import timing
from copgen import pairs
from copgen.pairs import layout, png
from copgen.pairs.tar import MAX_MEMBER_BYTES
from copgen.runtime.errors import DataError, ExitCode
from tests.pairs import folders
from tests.pairs.folders import Member, member

PLAN = folders.plan(pairs=3)
GOOD = [entry for index in range(3) for entry in folders.sample(PLAN, index)]
DATA = GOOD[1][1]


def _with(place: int, *entries: Member, instead: bool = True) -> list[Member]:
    """The good members with others inserted or put in their place."""
    return [*GOOD[:place], *entries, *GOOD[place + instead :]]


def _link(kind: bytes, name: str = "000000000.positive.png") -> Member:
    return member(name, type=kind, linkname="../../secret")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *, pixels: bytes = b"", text: bytes = b"") -> bytes:
    """A grey PNG whose header says that size, with these pixels, and a compressed text chunk if given."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    note = _chunk(b"zTXt", b"k\0\0" + zlib.compress(text)) if text else b""
    data = _chunk(b"IDAT", zlib.compress(pixels or bytes((width + 1) * height if width < 99 else 99)))
    return b"\x89PNG\r\n\x1a\n" + header + note + data + _chunk(b"IEND", b"")


HOSTILE: dict[str, tuple[list[Member], str]] = {
    "symbolic link": (_with(1, _link(tarfile.SYMTYPE)), "member 000000000.positive.png is a symbolic link"),
    "hard link": (_with(1, _link(tarfile.LNKTYPE)), "member 000000000.positive.png is a hard link"),
    "pipe": (_with(1, _link(tarfile.FIFOTYPE)), "is a pipe"),
    "character device": (_with(1, _link(tarfile.CHRTYPE)), "is a character device"),
    "block device": (_with(1, _link(tarfile.BLKTYPE)), "is a block device"),
    "folder": (_with(0, _link(tarfile.DIRTYPE, "a"), instead=False), "member a is a folder"),
    "other type": (_with(1, member("000000000.positive.png", DATA, type=b"7")), "header of type b'7'"),
    "absolute name": (_with(1, member("/etc/passwd", DATA)), "member /etc/passwd has an absolute name"),
    "parent step": (_with(1, member("../x.positive.png", DATA)), "has '..' in its name"),
    "hidden parent step": (_with(1, member("a/../../x.png", DATA)), "has '..' in its name"),
    "name twice": (_with(3, GOOD[0], instead=False), "member 000000000.anchor.png occurs twice"),
    "name twice at the end": ([*GOOD, GOOD[0]], "member 000000000.anchor.png occurs twice"),
    "one sample too many": ([*GOOD, *folders.sample(PLAN, 3)], "000000003.anchor.png comes after the last sample"),
    "interleaved": (
        [GOOD[k] for k in (0, 3, 1, 2, 4, 5, 6, 7, 8)],
        "sample 000000000 are not adjacent: 000000001.anchor.png comes before 000000000.positive.png",
    ),
    "late member": (
        _with(3, member("000000000.mask.png", DATA), instead=False),
        "sample 000000000 are not adjacent: 000000000.mask.png is where 000000001.anchor.png",
    ),
    "no positive": ([GOOD[0], *GOOD[2:]], "sample 000000000 has no positive.png"),
    "no metadata at the end": (GOOD[:-1], "ends after 2 of 3 samples, before 000000002.json"),
    "no anchor": (GOOD[1:], "000000000.positive.png is where 000000000.anchor.png should be"),
    "foreign member": (_with(0, member("hello.txt", b"x"), instead=False), "hello.txt comes before 000000000.anchor"),
    "samples swapped": ([*GOOD[3:6], *GOOD[:3], *GOOD[6:]], "000000001.anchor.png comes before 000000000.anchor.png"),
    "empty": ([], "ends after 0 of 3 samples"),
    "other owner": (_with(1, member("000000000.positive.png", DATA, uid=7)), "header of member 000000000.positive.png"),
    "undecodable": (
        _with(1, member("000000000.positive.png", DATA[:45] + DATA[-12:])),
        "positive.png cannot be decoded",
    ),
    "cut image": (_with(1, member("000000000.positive.png", DATA[:-20])), "positive.png is truncated"),
    "no image": (_with(1, member("000000000.positive.png", b"x" * 99)), "positive.png is not a PNG"),
    "other size": (
        _with(1, member("000000000.positive.png", png.encode(folders.pair(PLAN, 0).anchor[:, :5].numpy()))),
        "positive.png is 5 x 5 pixels; the plan says 6 x 5",
    ),
    "other colours": (
        _with(1, member("000000000.positive.png", png.encode(folders.pair(PLAN, 0).anchor.expand(3, 6, 5).numpy()))),
        "positive.png is 8-bit RGB; the plan says 8-bit grey",
    ),
    "bomb by its size": (
        _with(1, member("000000000.positive.png", _png(60_000, 60_000))),
        "positive.png is 60000 x 60000 pixels; the plan says 6 x 5",
    ),
    "bomb beside the image": (
        _with(1, member("000000000.positive.png", _png(5, 6, text=bytes(64 * 2**20)))),
        "positive.png cannot be decoded (Decompressed data too large",
    ),
    "metadata no JSON": (_with(2, member("000000000.json", b"{]")), "000000000.json is not a JSON document"),
    "metadata nested": (_with(2, member("000000000.json", b"[" * 200_000)), "000000000.json is not a JSON document"),
    "metadata no object": (_with(2, member("000000000.json", b"[1]")), "000000000.json is not a JSON object"),
}
BOMBS = {"bomb by its size", "bomb beside the image"}
DECODED_LATE = {"undecodable", "cut image", "no image", "other size", "other colours"} | BOMBS
METADATA = {"metadata no JSON", "metadata nested", "metadata no object"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folders.write(tmp_path / "pairs", PLAN)
    return tmp_path / "pairs"


def _refused(act: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        act()
    assert "shard-000000.tar" in caught.value.what
    assert caught.value.code is ExitCode.DATA
    assert caught.value.fix


def test_the_good_members_are_good(folder: Path) -> None:
    folders.put_tar(folder, PLAN, 0, folders.tar_of(GOOD))
    assert len(list(pairs.read(folder, "none"))) == 3


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("verify", ["none", "quick"])
def test_a_hostile_tar_is_refused_when_it_is_read(folder: Path, name: str, verify: str) -> None:
    members, message = HOSTILE[name]
    folders.put_tar(folder, PLAN, 0, folders.tar_of(members))
    before = folders.files(folder.parent)
    _refused(lambda: list(pairs.read(folder, verify)), message)  # type: ignore[arg-type]
    if name not in METADATA:
        _refused(lambda: pairs.open_pairs(folder, "none"), message)
        _refused(lambda: pairs.open_pairs(folder, "none", cache_bytes=0).batch([0]), message)
    assert folders.files(folder.parent) == before


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - DECODED_LATE - METADATA))
def test_a_hostile_tar_is_refused_by_the_full_verification(folder: Path, name: str) -> None:
    members, message = HOSTILE[name]
    folders.put_tar(folder, PLAN, 0, folders.tar_of(members))
    assert pairs.verify(folder, "quick") == []
    _refused(lambda: pairs.open_pairs(folder, "full"), message)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_is_refused_by_the_verification_that_decodes(folder: Path, name: str) -> None:
    members, message = HOSTILE[name]
    folders.put_tar(folder, PLAN, 0, folders.tar_of(members))
    before = folders.files(folder.parent)
    (problem,) = pairs.verify(folder, "decode")
    assert message in problem.what
    assert (problem.shard, problem.command) == (0, ("copgen", "sample", "--out", f"{folder}/", "--only", "0"))
    assert folders.files(folder.parent) == before


def test_a_bomb_behind_the_pixels_is_not_inflated(folder: Path) -> None:
    """The decoder stops where the image of the plan's size ends, so what follows costs nothing."""
    bomb = member("000000000.positive.png", _png(5, 6, pixels=bytes(256 * 2**20)))
    folders.put_tar(folder, PLAN, 0, folders.tar_of(_with(1, bomb)))
    added = timing.peak_memory_cpu(lambda: next(pairs.read(folder, "none")))
    assert added is None or added < 32 * 2**20
    assert not next(pairs.read(folder, "none")).positive.any()


def _size_field(size: int) -> bytes:
    """The header of the first positive with another claimed size, checksum and all."""
    info, _ = member("000000000.positive.png")
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT if 0 <= size < 8**11 else tarfile.GNU_FORMAT, "ascii")


def _gnu(size: int) -> bytes:
    info, _ = member("000000000.positive.png")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT, "ascii")


def _header() -> bytes:
    return member("000000000.positive.png")[0].tobuf(tarfile.GNU_FORMAT, "ascii")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (_size_field(10 * 2**30), "claims 10737418240 bytes, more than the cap of 67108864"),
        (_size_field(MAX_MEMBER_BYTES + 1), "claims 67108865 bytes, more than the cap"),
        (_size_field(MAX_MEMBER_BYTES), "it is truncated at byte 10240, before 000000000.json"),
        (_gnu(9_999_999), "it is truncated at byte 10240, inside member 000000000.positive.png"),
        (_size_field(-1), "claims a size of -1 bytes"),
        (_size_field(0)[:124] + b"99999999999\0" + _size_field(0)[136:], "is damaged"),
        (_header()[:10] + b"\0" + _header()[11:], "is damaged"),
        (
            member("00000\0000.positive.png")[0].tobuf(tarfile.GNU_FORMAT, "ascii"),
            "00000 up to there, continues after a NUL",
        ),
        (b"\xff" * 512, "is damaged"),
        (member("\xe9.png")[0].tobuf(tarfile.USTAR_FORMAT, "latin-1"), r"\xe9.png comes before"),
    ],
)
def test_a_hostile_header_is_refused(folder: Path, header: bytes, message: str) -> None:
    good = folders.tar_of(GOOD)
    place = 1024  # after the first anchor: its header and one block of data
    assert good[place : place + 22] == b"000000000.positive.png"
    folders.put_tar(folder, PLAN, 0, good[:place] + header + good[place + 512 :])
    if "comes before" in message or "NUL" in message:  # a small foreign member comes before the expected one
        folders.put_tar(folder, PLAN, 0, good[:place] + header + good[place:])
    _refused(lambda: list(pairs.read(folder, "none")), message)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_extended_headers_are_refused(folder: Path, format: Literal[1, 2]) -> None:
    good = folders.tar_of(GOOD)
    long_name = member("a/" * 80 + "000000000.positive.png", DATA)[0].tobuf(format)
    folders.put_tar(folder, PLAN, 0, good[:1024] + long_name + good[1536:])
    _refused(lambda: list(pairs.read(folder, "none")), "has a header of type")


def test_every_cut_is_refused_though_the_record_agrees(folder: Path) -> None:
    good = folders.tar_of(GOOD)
    with tarfile.open(fileobj=io.BytesIO(good)) as tar:
        end = tar.getmembers()[-1].offset_data + 512
    for cut in sorted({*range(0, len(good), 512), 1, 700, len(good) - 1}):
        folders.put_tar(folder, PLAN, 0, good[:cut])
        message = f"it is truncated at byte {cut}" if cut <= end else "it does not end as copgen's archives do"
        _refused(lambda: list(pairs.read(folder, "none")), message)


def test_data_after_the_end_are_refused(folder: Path) -> None:
    good = folders.tar_of(GOOD)
    for more in (bytes(512), folders.tar_of(GOOD)):
        folders.put_tar(folder, PLAN, 0, good + more)
        _refused(lambda: list(pairs.read(folder, "none")), "does not end as copgen's archives do")
    folders.put_tar(folder, PLAN, 0, good[:-1] + b"x")
    _refused(lambda: list(pairs.read(folder, "none")), "does not end as copgen's archives do")


def test_a_cache_of_lies_is_not_believed(folder: Path) -> None:
    """The reader takes offsets from the tar itself, never from the index beside it."""
    layout.index_path(folder, 0).write_text("v1.2 1\nanchor.png 9999999999 9 x\n")
    assert len(list(pairs.read(folder, "none"))) == 3
