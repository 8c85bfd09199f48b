"""Every command on outputs of any width that take ASCII only, that nobody reads, and that are full: never a bug."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from copgen.doctor import machine_report
from copgen.runtime.errors import ExitCode
from tests.cli.command import Outcome, copgen, on_streams
from tests.cli.surface import commands
from tests.cli.test_widths import WIDTHS

PATHS = [path.removeprefix("copgen").strip() for path, _ in commands()]
LEAVES = [path.removeprefix("copgen ") for path, command in commands() if not hasattr(command, "commands")]
# What makes a command print its result, in the folder of the four commands; any other is called without arguments.
WORDS = {
    "navigate": "--generator digits --weights {weights} --steps 256 --batch 64",
    "sample": "--out pairs/ --n 0.2k",
    "pretrain": "--pairs pairs/ --updates 3 --batch 64",
    "eval linear": "--ckpt runs/pretrain --dry-run",
    "eval knn": "--ckpt runs/pretrain",
    "eval few-shot": "--ckpt runs/pretrain --dry-run",
    "eval pairs": "pairs/ --classifier none",
    "eval finetune": "--ckpt runs/pretrain --dry-run",
    "eval transfer": "--ckpt runs/pretrain --dry-run",
    "eval alignment": "--ckpt runs/pretrain --pairs pairs/ --loss-batch 64",
    "eval generator": "-g digits --weights {weights} --space encoder:runs/pretrain -n 20 --real-n 20",
    "sweep": "digits --set weights={weights} --set samples=64 --set batch=64 --seeds 2 --out swept",
    "compare": "runs/",
    "report": "runs/",
    "show": "pairs/",
    "verify": "pairs/",
    "export": "pairs/ --to genrep --out tree",
    "import": "tree --out imported",
    "data list": "--data-root .",
    "data inspect": "digits",
    "generator inspect": "digits --weights {weights}",
    "navigator inspect": "runs/navigate",
    "navigator show": "runs/navigate",
    "encoder inspect": "--ckpt runs/pretrain",
    "recipes show": "digits",
    "recipes diff": "digits bigbigan",
}


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def ascii_stream(*, terminal: bool = False) -> io.TextIOWrapper:
    return (Terminal if terminal else io.TextIOWrapper)(io.BytesIO(), "ascii", errors="strict", write_through=True)


def text_of(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("ascii")


@contextmanager
def closed_pipe() -> Iterator[TextIO]:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        yield stream


@contextmanager
def full_device() -> Iterator[TextIO]:
    with open("/dev/full", "w") as stream:
        yield stream


@pytest.fixture(scope="module")
def four(walk: tuple[Path, dict[str, Outcome]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder of the four commands."""
    folder = tmp_path_factory.mktemp("outputs") / "walk"
    shutil.copytree(walk[0], folder)
    return folder


@pytest.fixture
def there(four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(four)
    monkeypatch.setenv("COPGEN_WEIGHTS", str(four))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(machine_report, "self_tests", lambda place: [])


@pytest.mark.parametrize("path", PATHS)
def test_help(path: str) -> None:
    words = (*path.split(), "--help")
    plain = ascii_stream()
    assert on_streams(plain, io.StringIO(), *words) == ExitCode.DONE
    assert "Usage: copgen" in text_of(plain)
    with closed_pipe() as out:
        assert on_streams(out, io.StringIO(), *words) == ExitCode.DONE
    with full_device() as out:
        err = io.StringIO()
        assert on_streams(out, err, *words) == ExitCode.ENVIRONMENT
        assert "<stdout>" in err.getvalue()


def test_version() -> None:
    with closed_pipe() as out:
        assert on_streams(out, io.StringIO(), "--version") == ExitCode.DONE
    with full_device() as out:
        err = io.StringIO()
        assert on_streams(out, err, "--version") == ExitCode.ENVIRONMENT
        assert "<stdout>" in err.getvalue()


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("form", ["", "--json"])
@pytest.mark.parametrize("path", LEAVES)
def test_results_and_errors(path: str, form: str, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*path.split(), *WORDS.get(path, "").format(weights=weights).split(), *form.split()]
    usual = copgen(*words)
    assert usual.code != ExitCode.FAULT
    assert usual.code == ExitCode.DONE or path not in WORDS, usual.err

    for columns in WIDTHS[-1:] if form else WIDTHS:  # JSON has no widths of its own
        monkeypatch.setenv("COLUMNS", columns)
        plain, drawn = ascii_stream(), ascii_stream(terminal=True)
        assert on_streams(plain, drawn, *words) == usual.code
        assert text_of(drawn).isascii()
        assert len(text_of(plain).splitlines()) == len(usual.out.splitlines())
        if form:
            assert json.loads(text_of(plain)).keys() == usual.document.keys()

    with closed_pipe() as out, closed_pipe() as err:
        assert on_streams(out, err, *words) == usual.code
    with full_device() as out:
        told = io.StringIO()
        ended = on_streams(out, told, *words)
        assert ended == (ExitCode.ENVIRONMENT if usual.code == ExitCode.DONE else usual.code)
        assert "Error: " in told.getvalue()
    with full_device() as err:
        assert on_streams(io.StringIO(), err, *words) in (ExitCode.ENVIRONMENT, usual.code)
    with full_device() as out, full_device() as err:
        assert on_streams(out, err, *words) in (ExitCode.ENVIRONMENT, usual.code)


def test_a_channel_that_is_not_open_for_writing() -> None:
    with open(os.devnull) as reader, open(reader.fileno(), "w", closefd=False) as out:
        err = io.StringIO()
        assert on_streams(out, err, "--version") == ExitCode.ENVIRONMENT
        assert "<stdout>" in err.getvalue()
