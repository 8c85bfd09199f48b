"""URLs are recognised as text and as Path, and refused with the command that copies the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copgen.runtime.errors import UsageError
from copgen.runtime.urls import copy_command, local_path, refuse_url, url_of

URLS = ["s3://bucket/a", "gs://bucket/a.png", "https://host/w.pth", "memory://x", "simplecache::s3://bucket/a"]
PATHS = ["a", "/a/b", "a:b", "a:b/c", "a/s3://b", "./s3://b", "C:/data", "~/a", "", "12:00/x", "s3:", "online:/a/run"]


@pytest.mark.parametrize("url", URLS)
def test_a_url_as_text_and_as_path(url: str) -> None:
    for place in (url, Path(url), url.upper().replace(url.upper().partition("://")[2], url.partition("://")[2])):
        assert url_of(place) == url
        assert local_path(place) is None
        for writing in (False, True):
            with pytest.raises(UsageError) as caught:
                refuse_url(place, writing=writing)
            assert url in caught.value.what
            assert url in caught.value.fix


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_left_alone(path: str) -> None:
    assert url_of(path) is None
    assert local_path(path) == Path(path)
    refuse_url(path)
    refuse_url(path, writing=True)


def test_the_run_of_online_pairs_is_a_path_too() -> None:
    assert url_of("online:s3://bucket/run") == "s3://bucket/run"
    assert local_path("online:file:///a/run") == Path("online:/a/run")


def test_the_slashes_of_a_url_are_kept() -> None:
    for url in ("hdfs:///user/x", "s3://bucket//x", "file://relative/x"):
        assert url_of(url) == url


@pytest.mark.parametrize("scheme", ["file", "local", "FILE"])
def test_a_url_of_this_machine_has_a_path(scheme: str) -> None:
    for place in (f"{scheme}:///data/pairs", Path(f"{scheme}:///data/pairs")):
        assert local_path(place) == Path("/data/pairs")
        with pytest.raises(UsageError) as caught:
            refuse_url(place)
        assert "/data/pairs." in caught.value.fix


def test_a_folder_of_that_name_can_be_read_but_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions wrote such folders."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("s3:/bucket/run")
    refuse_url(Path("s3://bucket/run"))
    with pytest.raises(UsageError):
        refuse_url(Path("s3://bucket/run"), writing=True)
    refuse_url(tmp_path / "s3:/bucket/run", writing=True)


@pytest.mark.parametrize(
    ("source", "target", "command"),
    [
        ("s3://b/pairs", "pairs", "aws s3 sync s3://b/pairs pairs"),
        ("pairs", "s3://b/pairs", "aws s3 sync pairs s3://b/pairs"),
        ("s3://b/w.pth", "w.pth", "aws s3 cp s3://b/w.pth w.pth"),
        ("gs://b/pairs", "pairs", "gcloud storage rsync --recursive gs://b/pairs pairs"),
        ("x.png", "gs://b/x.png", "gcloud storage cp x.png gs://b/x.png"),
        ("https://host/w.pth", "w.pth", "curl --location --output w.pth https://host/w.pth"),
        ("sftp://host/pairs", "pairs", "rclone sync sftp://host/pairs pairs"),
        ("sftp://host/w.pth", "w.pth", "rclone copyto sftp://host/w.pth w.pth"),
    ],
)
def test_the_command_that_copies(source: str, target: str, command: str) -> None:
    assert " ".join(copy_command(source, target)) == command
