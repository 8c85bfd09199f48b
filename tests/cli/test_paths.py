"""Every path of every command, where it leads nowhere: exit 2, 3 or 4, and the path in the message, never a bug."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from copgen.runtime.errors import ExitCode
from copgen_cli import options as o
from copgen_cli.table import COMMANDS
from tests.cli.command import Outcome, copgen
from tests.cli.paths_world import make_world, replaced, words
from tests.cli.surface import commands
from tests.permissions import permissions_hold

FILES, FOLDERS = {"FILE", "PATH"}, {"FOLDER", "PAIRS", "PATH"}  # the kinds of path in the help
LISTS, NAMED = {"ROWS", "SHARDS"}, {"NAME|FOLDER"}  # numbers or a file of them, and a known name or a folder
URL = "s3://bucket/deep/name"


@dataclass(frozen=True)
class Place:
    """A path that a command is given: an option, or the argument at a place."""

    command: str
    option: str
    kind: str
    argument: int | None
    can_rehearse: bool

    def __str__(self) -> str:
        return f"{self.command} {self.option}"


def places() -> Iterator[Place]:
    """Every path of the table of commands."""
    for path, command in commands():
        name, arguments = path.removeprefix("copgen").strip(), 0
        can_rehearse = any("--dry-run" in one.opts for one in command.params)
        for one in command.params:
            is_argument = one.param_type_name == "argument"
            if one.metavar in FILES | FOLDERS | LISTS | NAMED:
                yield Place(name, one.opts[0], one.metavar, arguments if is_argument else None, can_rehearse)
            arguments += is_argument


def either(command: str) -> set[str]:
    """The options of a command that take a path or any URL."""
    return {"out"} if command == "sample" else set()


def closed(place: Place) -> Path:
    """Below a folder that one may not enter."""
    folder = Path("closed")
    folder.mkdir(mode=0)
    return folder / "name.safetensors"


def unreadable(place: Place) -> Path:
    """A file or folder that one may not read."""
    path = Path("unreadable")
    if place.kind in FILES | LISTS:
        path.write_bytes(b"x")
    else:
        path.mkdir()
    path.chmod(0)
    return path


def below_a_file(place: Place) -> Path:
    Path("file").write_text("x")
    return Path("file/name.safetensors")


def too_long(place: Place) -> Path:
    return Path("n" * 300 + ".safetensors")


def loop(place: Place) -> Path:
    path = Path("loop.safetensors")
    path.symlink_to(path)
    return path


def broken(place: Place) -> Path:
    """On a disk that answers every look with an error; see `broken_disk`."""
    return Path("broken/name.safetensors")


def file(place: Place) -> Path:
    path = Path("file.safetensors")
    path.write_text("x")
    return path


def folder(place: Place) -> Path:
    path = Path("folder.safetensors")
    path.mkdir()
    return path


def url(place: Place) -> str:
    return URL


BAD: dict[str, Callable[[Place], Path | str]] = {
    made.__name__: made for made in (closed, unreadable, below_a_file, too_long, loop, broken, file, folder, url)
}


def grid() -> Iterator[Any]:
    """(place, kind of bad path), without those that are good for it."""
    for place in places():
        for name in BAD:
            replaceable = place.option == "--out" and place.kind in FILES
            good = {
                "file": place.kind not in FOLDERS | NAMED,
                "folder": place.kind not in FILES | LISTS,
                "unreadable": replaceable,
                "loop": replaceable,
                "url": place.option.removeprefix("--") in either(place.command),
            }
            if not good.get(name, False):
                yield pytest.param(place, name, id=f"{place} {name}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def broken_disk(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk at `broken`."""

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def on(path: Any, *more: Any, **how: Any) -> Any:
            if isinstance(path, str | Path) and str(path).startswith("broken"):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return call(path, *more, **how)

        return on

    for name in ("stat", "mkdir"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))


@pytest.fixture
def offline(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded, and there are no weights but those of the world."""
    monkeypatch.setenv("COPGEN_WEIGHTS", str(here / "weights"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def run(place: Place, value: Path | str, world: Path, *more: str) -> Outcome:
    given = replaced(words(place.command, place.option, world), place.option, value, argument=place.argument)
    return copgen(*place.command.split(), *given, *more)


@pytest.mark.usefixtures("offline", "broken_disk")
@pytest.mark.parametrize(("place", "kind"), list(grid()))
def test_a_path_that_leads_nowhere(place: Place, kind: str, world: Path) -> None:
    value = BAD[kind](place)
    held: AbstractContextManager[None] = permissions_hold() if kind in ("closed", "unreadable") else nullcontext()
    with held:
        ended = run(place, value, world, *["--dry-run"] * (kind == "url" and place.can_rehearse))
    assert ended.code in (ExitCode.USAGE, ExitCode.DATA, ExitCode.ENVIRONMENT), ended.err
    assert str(value) in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) >= 2, "no remedy"
    if kind == "url":
        assert ended.code == ExitCode.USAGE
        assert not os.path.lexists("s3:")


def kinds(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """The types that a parameter may have."""
    kind = get_args(parameter.annotation)[0]
    return (kind, *get_args(kind))


@pytest.mark.parametrize("command", [command for command, entry in COMMANDS.items() if entry.place])
def test_the_help_shows_every_path_as_one(command: str) -> None:
    """So that the grid above has it, and its parser refuses URLs."""
    parameters = dict(inspect.signature(COMMANDS[command].load().typed()).parameters)
    parameters.pop("context", None)
    options = {name: get_args(one.annotation)[1] for name, one in parameters.items()}
    paths = {name: o.target if name == "out" else o.source for name in options}
    assert all(options[name].parser == paths[name] for name, one in parameters.items() if Path in kinds(one))
    parsed = {name for name, option in options.items() if option.parser in (o.source, o.target)}
    assert parsed == {name for name, option in options.items() if option.metavar in FILES | FOLDERS} - either(command)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("workers", [1, 2])
def test_file_urls_are_paths(workers: int, here: Path, world: Path) -> None:
    url = f"file://{here}/new/pairs"
    more = ("--pairs-per-shard", 4, "--workers", workers)
    sampled = copgen("sample", *words("sample", "--out", world), *more, "--out", url, "--json")
    assert sampled.code == 0, sampled.err
    assert sampled.document["out"] == f"{here}/new/pairs"
    assert copgen("verify", url).code == 0
    assert copgen("show", url, "--out", f"file://{here}/sheet.png").code == 0
    pretrained = copgen("pretrain", "--pairs", url, "--updates", 1, "--batch", 8, "--out", f"file://{here}/run")
    assert pretrained.code == 0, pretrained.err
    assert sorted(path.name for path in here.iterdir()) == ["new", "run", "sheet.png"]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("variable", ["COPGEN_WEIGHTS", "COPGEN_DATA"])
def test_urls_in_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, URL)
    command = ("generator", "list") if variable == "COPGEN_WEIGHTS" else ("pretrain", "--dataset", "imagenet")
    ended = copgen(*command)
    assert ended.code == ExitCode.USAGE, ended.err
    assert URL in ended.err


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("command", "setting"), [("navigate", "weights"), ("pretrain", "pairs"), ("eval linear", "out")]
)
def test_urls_in_settings_files(command: str, setting: str) -> None:
    Path("mine.toml").write_text(f'{setting} = "{URL}"\n')
    ended = copgen(*command.split(), "--config", "mine.toml", "--dry-run")
    assert ended.code == ExitCode.USAGE
    assert URL in ended.err


@pytest.mark.usefixtures("here")
def test_debug_shows_where_the_operating_system_refused() -> None:
    Path("closed").mkdir(mode=0)
    with permissions_hold():
        plain, asked = copgen("verify", "closed/pairs"), copgen("verify", "closed/pairs", "--debug")
    assert (plain.code, asked.code) == (ExitCode.ENVIRONMENT, ExitCode.ENVIRONMENT)
    assert "Traceback" not in plain.err
    assert "PermissionError" in asked.err
