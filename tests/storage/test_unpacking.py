"""Taking files out of archives: what is wanted comes, hostile members never leave the archive."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from copgen.runtime.errors import DataError
from copgen.storage.unpacking import unpack


def archive(path: Path, *members: tuple[str, bytes | None, bytes]) -> Path:
    """A .tar.gz of (name, content, type); links point to /etc/passwd."""
    with tarfile.open(path, "w:gz") as stream:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content or b""), "/etc/passwd"
            stream.addfile(info, io.BytesIO(content or b""))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


FILE, LINK, HARD, FIFO = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE


@pytest.mark.parametrize("lead", ["", "./"])
def test_a_folder_s_own_files_are_taken(tmp_path: Path, lead: str) -> None:
    path = archive(
        tmp_path / "a.tar.gz",
        (f"{lead}net", None, tarfile.DIRTYPE),
        (f"{lead}net/G.pth", b"weights", FILE),
        (f"{lead}net/state.pth", b"state", FILE),
        (f"{lead}net/deeper/x", b"x", FILE),
        (f"{lead}other/y", b"y", FILE),
    )
    assert unpack(path, "net", tmp_path / "out") == tmp_path / "out" / "net"
    assert files(tmp_path / "out") == {"net/G.pth": b"weights", "net/state.pth": b"state"}


def test_one_file_is_taken(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", ("s/a.npy", b"a", FILE), ("s/b.npy", b"b", FILE))
    assert unpack(path, "s/b.npy", tmp_path / "out").read_bytes() == b"b"
    assert files(tmp_path / "out") == {"s/b.npy": b"b"}


@pytest.mark.parametrize(
    "member",
    [
        ("net/../../owned", b"x", FILE),
        ("/net/owned", b"x", FILE),
        ("net/owned", None, LINK),
        ("net/owned", None, HARD),
        ("net/owned", None, FIFO),
        ("../owned", b"x", FILE),
    ],
    ids=lambda member: f"{member[0]} {member[2]}",
)
def test_hostile_members_stay_inside(tmp_path: Path, member: tuple[str, bytes | None, bytes]) -> None:
    (tmp_path / "in").mkdir()
    path = archive(tmp_path / "in" / "a.tar.gz", member)
    with pytest.raises(DataError, match="'net'"):
        unpack(path, "net", tmp_path / "in" / "out")
    assert set(files(tmp_path)) == {"in/a.tar.gz"}


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", ("net/a", b"1", FILE), ("net/a", b"2", FILE))
    with pytest.raises(DataError, match="'net/a' twice"):
        unpack(path, "net", tmp_path / "out")


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar.gz", ("net/a", bytes(range(256)) * 100, FILE)).read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:40] + b"\xff" * 40 + whole[80:]):
        (tmp_path / "b.tar.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"b\.tar\.gz "):
            unpack(tmp_path / "b.tar.gz", "net", tmp_path / "out")
    assert files(tmp_path / "out") == {}
