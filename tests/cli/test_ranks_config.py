"""Settings that come through a pipe reach all ranks, or are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from copgen.runtime import settings_files
from copgen.runtime.errors import UsageError
from copgen.runtime.settings_files import read_toml
from copgen_cli.ranks import without_pipes


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(settings_files, "_piped", {})  # other tests have pipes of this name
    read, write = os.pipe()
    os.write(write, b"samples = 7\n")
    os.close(write)
    yield f"/dev/fd/{read}"
    os.close(read)


@pytest.mark.parametrize("joined", [False, True])
def test_a_pipe_becomes_a_file_that_every_rank_can_read(joined: bool, pipe: str, tmp_path: Path) -> None:
    assert read_toml(Path(pipe)) == {"samples": 7}  # as the launcher does to check the settings
    mine = tmp_path / "mine.toml"
    mine.write_text("samples = 8\n")
    given = [f"--config={pipe}"] if joined else ["--config", pipe]
    with without_pipes(["navigate", *given, "--out", pipe, "--config", str(mine)]) as words:
        path = Path(words[1].removeprefix("--config=") if joined else words[2])
        assert path.is_file()
        for _ in range(2):
            assert read_toml(path) == {"samples": 7}
        assert words[-4:] == ["--out", pipe, "--config", str(mine)]
    assert not path.exists()


def test_a_pipe_is_refused_where_others_have_started_the_ranks(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="is a pipe"):
        read_toml(Path(pipe))
