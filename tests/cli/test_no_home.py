"""No command needs a home folder or a user name; one that looks for weights there says what to set."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any

import pytest

from copgen.doctor import machine_report
from copgen.runtime import environment
from copgen.runtime.errors import EnvironmentFault, ExitCode
from copgen_cli import options
from tests.cli.command import copgen
from tests.cli.surface import commands

LEAVES = {path: command for path, command in commands() if not hasattr(command, "commands")}
# Quick and without side effects: one batch, or what is not there.
WORDS = {"recipes diff": ("digits", "bigbigan"), "recipes show": ("digits",), "navigator import": ("x.pth",)}


@pytest.fixture
def no_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a user that the system has no entry for, as in many containers."""

    def unknown(user: Any) -> None:
        raise KeyError(f"not found: {user}")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "COPGEN_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.setattr(machine_report, "self_tests", lambda place: [])
    for name in ("http_proxy", "https_proxy"):  # nothing is downloaded
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize("path", LEAVES)
def test_every_command_does_without_a_home(path: str) -> None:
    options = {name for parameter in LEAVES[path].params for name in parameter.opts}
    required = [p for p in LEAVES[path].params if p.required and p.param_type_name == "argument"]
    words = WORDS.get(path.removeprefix("copgen "), tuple("bigbigan" if p.name == "name" else "x" for p in required))
    generator = ("--generator", "bigbigan") if "--generator" in options else ()
    ended = copgen(*path.split()[1:], *words, *generator, *(("--dry-run",) if "--dry-run" in options else ()))
    assert ended.code in (ExitCode.DONE, ExitCode.USAGE, ExitCode.DATA, ExitCode.ENVIRONMENT), ended.err
    if ended.code == ExitCode.ENVIRONMENT:
        assert "HOME" in ended.err
        assert "COPGEN_WEIGHTS" in ended.err


@pytest.mark.usefixtures("no_home")
def test_a_named_weights_directory_is_enough(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert copgen("generator", "list").code == ExitCode.ENVIRONMENT
    monkeypatch.setenv("COPGEN_WEIGHTS", str(here))
    assert copgen("generator", "list").code == ExitCode.DONE


@pytest.mark.usefixtures("no_home")
def test_a_tilde_that_stands_for_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_WEIGHTS", "~/weights")
    with pytest.raises(EnvironmentFault, match="~/weights"):
        environment.weights_directory()


@pytest.mark.parametrize("path", ["~no-such-user/photos", "~/photos"])
def test_a_dataset_below_a_home_folder_that_is_not_there_is_refused(
    path: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "")
    for words in (("data", "inspect", path), ("pretrain", "--dataset", path, "--updates", 1)):
        ended = copgen(*words)
        assert ended.code == ExitCode.ENVIRONMENT
        assert path in ended.err


def test_an_empty_home_is_not_the_root_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(EnvironmentFault, match="HOME"):
        environment.user_cache()


def test_a_tilde_that_the_shell_left_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert options.target("~/runs/a") == tmp_path / "runs" / "a"
    assert options.source("./~/runs") == Path("~/runs")
    monkeypatch.setenv("HOME", "")
    with pytest.raises(EnvironmentFault, match="~/runs"):
        options.target("~/runs")
