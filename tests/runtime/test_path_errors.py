"""What the operating system says about a path, as an error that names the path and a remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from copgen.runtime.errors import EnvironmentFault, ExitCode
from copgen.runtime.path_errors import NO_FAULTS, path_errors
from tests.permissions import permissions_hold


@pytest.mark.parametrize("number", sorted(errno.errorcode))
@pytest.mark.parametrize("name", ["data/pairs", b"data/pairs"])
def test_every_number_of_an_error_with_a_path(number: int, name: str | bytes) -> None:
    with pytest.raises(EnvironmentFault) as caught, path_errors():
        raise OSError(number, os.strerror(number), name)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert "data/pairs" in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOENT])
def test_without_a_path_the_reason_is_given(number: int) -> None:
    with pytest.raises(EnvironmentFault) as caught, path_errors():
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("number", sorted(number for number in NO_FAULTS if number))
def test_what_is_no_fault_of_the_machine_stays(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)), path_errors():
        raise OSError(number, os.strerror(number))
    with pytest.raises(OSError, match="a library's own"), path_errors():
        raise OSError("a library's own")


@pytest.mark.parametrize("below", ["name", "a/b/name"])
def test_the_folder_that_may_not_be_entered_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "open" / "closed" / "a").mkdir(parents=True)
    (tmp_path / "open" / "closed").chmod(0)
    with permissions_hold(), pytest.raises(EnvironmentFault) as caught, path_errors():
        (tmp_path / "open" / "closed" / below).exists()
    assert below in caught.value.what
    assert f"permissions of {tmp_path}/open/closed," in caught.value.fix


def test_the_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with permissions_hold(), pytest.raises(EnvironmentFault) as caught, path_errors():
        (tmp_path / "new").mkdir()
    assert f"permissions of {tmp_path}," in caught.value.fix


def test_it_decorates_functions() -> None:
    @path_errors()
    def size(path: str) -> int:
        return os.stat(path).st_size

    assert size(__file__) > 0
    with pytest.raises(EnvironmentFault, match="absent"):
        size("absent")
