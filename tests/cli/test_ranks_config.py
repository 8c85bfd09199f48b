"""Settings that come through a pipe reach all ranks, or are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from copgen.runtime import settings_files
from copgen.runtime.errors import UsageError
from copgen.runtime.settings_files import read_toml
from copgen_cli import ranks
from copgen_cli.main import main


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(settings_files, "_piped", {})  # other tests have pipes of this name
    read, write = os.pipe()
    os.write(write, b"samples = 7\n")
    os.close(write)
    yield f"/dev/fd/{read}"
    os.close(read)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The settings files that ranks would read."""
    found: list[dict[str, object]] = []

    def launch(module: str, words: Sequence[str], ranks: int) -> int:
        path = Path(words[-1])
        found.extend([read_toml(path), read_toml(path)] if words[-2] == "--config" and path.is_file() else [])
        return 0

    monkeypatch.setattr(ranks, "launch", launch)
    return found


def started(*words: str, out: Path) -> int:
    return main(["navigate", "--generator", "digits", "--nproc", "2", "--batch", "2", "--out", str(out), *words])


@pytest.mark.parametrize("before", ["--config=", "--config ", "-c ", "-c", "-qc "])
def test_a_pipe_becomes_a_file_that_every_rank_can_read(
    before: str, pipe: str, launched: list[dict[str, object]], tmp_path: Path
) -> None:
    assert started(*f"{before}{pipe}".split(), out=tmp_path / "run") == 0
    assert launched == [{"samples": 7}] * 2


@pytest.mark.parametrize("place", ["{}", "file://{}", "~/mine.toml"])
def test_a_file_reaches_the_ranks_as_it_is_given(
    place: str, launched: list[dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("samples = 8\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert started(f"--config={place.format(mine)}", out=tmp_path / "run") == 0
    assert launched == []


def test_a_pipe_is_refused_where_others_have_started_the_ranks(
    pipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="is a pipe"):
        read_toml(Path(pipe))
    with pytest.raises(UsageError, match="Is a directory"):
        read_toml(tmp_path)
