"""The tar writer gives the same bytes as the standard library, readable by other programs."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from copgen.pairs import tar


@pytest.mark.parametrize("name", ["000000000.json", "123456789.positive-12.png", "9" * 20 + ".anchor.png"])
@pytest.mark.parametrize("size", [0, 1, 7, 511, 512, 513, 1_000_000, tar.MAX_MEMBER_BYTES])
def test_a_header_is_the_one_of_the_standard_library(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    assert tar.header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("sizes", [[], [0], [1, 512, 513], [9_000], [10_240 - 1_536], [10_240 - 1_535]])
def test_the_whole_file_is_the_one_of_the_standard_library(sizes: list[int]) -> None:
    members = [(f"{k:09d}.bin", bytes([k + 1]) * size) for k, size in enumerate(sizes)]
    ours, theirs = io.BytesIO(), io.BytesIO()
    writer = tar.TarWriter(ours)
    offsets = [offset for at in range(0, len(members), 2) for offset in writer.add(*members[at : at + 2])]
    writer.close()
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    content = ours.getvalue()
    assert content == theirs.getvalue()
    assert (writer.bytes, writer.sha256.hexdigest()) == (len(content), hashlib.sha256(content).hexdigest())
    for offset, (_, data) in zip(offsets, members, strict=True):
        assert content[offset : offset + len(data)] == data


def test_a_member_over_the_cap_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_MEMBER_BYTES", 10)
    with pytest.raises(ValueError, match="has 11 bytes, more than 10"):
        tar.TarWriter(io.BytesIO()).add(("a.json", bytes(11)))
