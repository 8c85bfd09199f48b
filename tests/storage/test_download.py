"""Downloads against a local server: interruptions cost nothing, and what is not the file never gets its name."""

from __future__ import annotations

import hashlib
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode
from copgen.storage.download import Policy, Unreachable, download
from tests.stages.small import Recorder
from tests.storage.servers import Manners, serving

CONTENT = bytes(range(256)) * 4096  # one MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Policy(timeout=5.0, pause=0.0)


@pytest.fixture
def manners() -> Manners:
    return Manners({"/w.pth": CONTENT})


@pytest.fixture
def server(manners: Manners) -> Iterator[str]:
    with serving(manners) as address:
        yield address


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_with_its_progress(server: str, tmp_path: Path) -> None:
    events = Recorder()
    target = tmp_path / "new" / "w.pth"
    assert download(f"{server}/w.pth", target, sha256=SHA256, events=events) == target
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == {"w.pth"}
    assert events.tasks == [("fetch", len(CONTENT), "bytes", 0)]
    assert events.advances[-1] == len(CONTENT)


def test_an_existing_file_is_replaced(server: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"old")
    download(f"{server}/w.pth", tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_again(server: str, manners: Manners, tmp_path: Path) -> None:
    manners.cut = [300_000, 1, 400_000]
    events = Recorder()
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, events=events, policy=QUICK)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    asked = [asked for _, asked in manners.seen]
    assert asked == [None, "bytes=300000-", "bytes=300001-", "bytes=700001-"]
    assert [task[3] for task in events.tasks] == [0, 300_000, 300_001, 700_001]
    assert "300,000 bytes" in events.sentences[0]


def interrupted(server: str, manners: Manners, target: Path) -> None:
    """Leave 300,000 bytes, as a connection that breaks and stays broken does."""
    manners.cut = [300_000, 0, 0, 0, 0]
    with pytest.raises(Unreachable, match="300,000 bytes are kept") as caught:
        download(f"{server}/w.pth", target, sha256=SHA256, policy=QUICK)
    assert caught.value.code is ExitCode.ENVIRONMENT
    assert f"{server}/w.pth" in str(caught.value)
    assert "same command" in caught.value.fix
    assert names(target.parent) == {"w.pth.partial", "w.pth.partial.json"}
    manners.seen.clear()


def test_the_same_call_goes_on_where_an_earlier_one_was_stopped(server: str, manners: Manners, tmp_path: Path) -> None:
    interrupted(server, manners, tmp_path / "w.pth")
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert manners.seen == [("/w.pth", "bytes=300000-")]
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert names(tmp_path) == {"w.pth"}


def test_a_whole_partial_file_is_not_fetched_again(server: str, manners: Manners, tmp_path: Path) -> None:
    interrupted(server, manners, tmp_path / "w.pth")
    (tmp_path / "w.pth.partial").write_bytes(CONTENT)
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert manners.seen == [("/w.pth", f"bytes={len(CONTENT)}-")]
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_another_version_on_the_server_starts_anew(server: str, manners: Manners, tmp_path: Path) -> None:
    interrupted(server, manners, tmp_path / "w.pth")
    manners.tag, manners.content["/w.pth"] = '"v2"', CONTENT[::-1]
    download(f"{server}/w.pth", tmp_path / "w.pth", policy=QUICK)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT[::-1]


def test_a_shorter_version_on_the_server_starts_anew(server: str, manners: Manners, tmp_path: Path) -> None:
    interrupted(server, manners, tmp_path / "w.pth")
    manners.content["/w.pth"] = b"short"
    download(f"{server}/w.pth", tmp_path / "w.pth", policy=QUICK)
    assert (tmp_path / "w.pth").read_bytes() == b"short"


@pytest.mark.parametrize("tag", ['W/"weak"', None])
def test_without_a_sure_version_it_starts_anew(server: str, manners: Manners, tmp_path: Path, tag: str | None) -> None:
    manners.tag, manners.cut = tag, [300_000]
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert manners.seen == [("/w.pth", None), ("/w.pth", None)]
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_of_it_again(server: str, manners: Manners, tmp_path: Path) -> None:
    interrupted(server, manners, tmp_path / "w.pth")
    manners.ranges = False
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_partial_file_of_another_address_is_not_continued(server: str, manners: Manners, tmp_path: Path) -> None:
    interrupted(server, manners, tmp_path / "w.pth")
    manners.content["/mirror.pth"] = CONTENT
    download(f"{server}/mirror.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert manners.seen == [("/mirror.pth", None)]


def test_a_file_of_unknown_length_arrives(server: str, manners: Manners, tmp_path: Path) -> None:
    manners.announced = False
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_redirections_are_followed(server: str, manners: Manners, tmp_path: Path) -> None:
    manners.moved = {"/release": "/w.pth"}
    download(f"{server}/release", tmp_path / "w.pth", sha256=SHA256)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_only_http_addresses_are_opened(server: str, manners: Manners, tmp_path: Path, place: str) -> None:
    with pytest.raises(DataError, match="http"):
        download(place, tmp_path / "w.pth")
    manners.moved = {"/release": place}
    with pytest.raises(Unreachable, match="release could not be fetched"):
        download(f"{server}/release", tmp_path / "w.pth", policy=QUICK)
    assert not (tmp_path / "w.pth").exists()


def test_another_hash_than_the_published_one_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"sha256 {SHA256}; the published one is {'0' * 64}"):
        download(f"{server}/w.pth", tmp_path / "w.pth", sha256="0" * 64)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_the_file(server: str, manners: Manners, tmp_path: Path, kind: str) -> None:
    manners.content["/w.pth"], manners.kind = b"\n<!DOCTYPE html><html>Sign in</html>", kind
    with pytest.raises(DataError, match="gave a web page instead of the file"):
        download(f"{server}/w.pth", tmp_path / "w.pth")
    assert names(tmp_path) == set()


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 4), (429, 4)])
def test_errors_of_the_server_are_told(
    server: str, manners: Manners, tmp_path: Path, status: int, requests: int
) -> None:
    manners.status = {"/w.pth": status}
    with pytest.raises(Unreachable, match=f"w.pth could not be fetched: the server answered {status}"):
        download(f"{server}/w.pth", tmp_path / "w.pth", policy=QUICK)
    assert len(manners.seen) == requests
    assert names(tmp_path) == set()


def test_no_network_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        download(f"http://127.0.0.1:{port}/w.pth", tmp_path / "w.pth", policy=QUICK)
    assert caught.value.code is ExitCode.ENVIRONMENT


def test_a_disk_too_small_is_told_before_anything_arrives(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(EnvironmentFault, match=r"The disk is full: .* needs 1,048,576 bytes more, and 1,000 are free"):
        download(f"{server}/w.pth", tmp_path / "w.pth")


def test_a_disk_that_fills_keeps_what_arrived(server: str, manners: Manners, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limit[1]))
    try:
        with pytest.raises(EnvironmentFault, match="The disk is full") as caught:
            download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
        assert not isinstance(caught.value, Unreachable)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (tmp_path / "w.pth.partial").stat().st_size == 500_000
    download(f"{server}/w.pth", tmp_path / "w.pth", sha256=SHA256, policy=QUICK)
    assert manners.seen[-1] == ("/w.pth", "bytes=500000-")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_told(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        download(f"{server}/w.pth", tmp_path / "file" / "w.pth")
