"""stdout and stderr: what goes where, closed pipes, and terminals."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from copgen_cli.console import Channel
from copgen_cli.story import Lines, Story
from copgen_cli.wording import duration, figures
from tests.cli.command import copgen

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def tell(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    """What a short task looks like on a stream."""
    monkeypatch.setattr(sys, "stderr", stream)
    with Story(delta=0.2) as story:
        story.begin("navigate", total=1_300_000, unit="samples")
        for done in (128, 650_000, 1_300_000):
            story.advance(done, {"loss_encoder": 5.123, "chance": 5.54, "d_mean": 0.0123})
        story.end()
        story.warn("mind the gap")
    return stream.getvalue()


def test_a_terminal_gets_a_bar_within_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = tell(monkeypatch, Terminal())
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    last = next(line for line in re.split("[\r\n]+", plain)[::-1] if line.startswith("navigate"))
    assert len(last.rstrip()) <= 80
    assert "1,300,000/1.3M" in last
    assert "loss 5.12 (chance 5.54) d 0.0123/0.2" in last


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["dumb terminal", "file"])
def test_others_get_plain_lines(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = tell(monkeypatch, stream)
    assert shown.splitlines()[-1] == "Warning: mind the gap"
    assert [c for c in shown if not c.isprintable() and c != "\n"] == []


def test_a_warning_of_python_is_one_line(here: Path) -> None:
    warn = "main.main = lambda words: warnings.warn('a\\n\\x1b[31m') or 0"
    script = f"import warnings; from copgen_cli import main; {warn}; main.run()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert (done.returncode, done.stderr) == (0, "Warning: a\\n\\x1b[31m\n")


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in tell(monkeypatch, Terminal())  # 30 to 37 and 38 are the colours


def test_lines_come_at_each_tenth_but_not_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    lines = Lines(Channel(stream, "x"), title="task", total=1000, unit="pairs", done=0)
    for done in range(1, 1001):
        clock[0] += 0.02
        lines.show(done, "", {})
    shown = stream.getvalue().splitlines()
    assert [line.split()[1] for line in shown] == ["10", "20", "30", "40", "50", "60", "70", "80", "90", "100"]
    assert shown[0] == "task  10 %  100 of 1,000 pairs  50/s  18 s left"


def test_a_slow_task_prints_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    lines = Lines(Channel(stream, "x"), title="task", total=1_000_000, unit="pairs", done=0)
    for done in range(1, 101):
        clock[0] += 1.0
        lines.show(done, "", {})
    assert len(stream.getvalue().splitlines()) == 10


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (788_500, "9 d 3 h")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_verbose_shows_every_metric() -> None:
    values = {"loss": 1.5, "shift_std": 0.25}
    assert figures(values, delta=None, verbose=True) == "loss 1.5  shift_std 0.25"
    assert figures(values, delta=None, verbose=False) == "loss 1.50"


@pytest.mark.parametrize(
    "words", ["recipes show digits", "recipes show digits --json", "recipes list", "--help", "navigate --help"]
)
def test_a_closed_pipe_is_not_an_error(words: str) -> None:
    script = f"set -o pipefail; {sys.executable} -m copgen_cli {words} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_run_continues_when_stderr_is_closed(here: Path, weights: Path) -> None:
    command = f"{sys.executable} -m copgen_cli navigate --weights {weights} --steps 128 --batch 64 --json"
    script = f"set -o pipefail; {command} 2> >(true) | cat"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 0
    assert json.loads(done.stdout)["samples"] == 128


def test_lists_and_shows_are_one_document_each(weights: Path) -> None:
    assert "digits" in [one["name"] for one in copgen("recipes", "list", "--json").document["recipes"]]
    assert copgen("recipes", "show", "digits", "--json").document["recipe"]["navigate"]["generator"] == "digits"
    assert "digits" in [one["name"] for one in copgen("generator", "list", "--json").document["generators"]]
    found = copgen("generator", "inspect", "digits", "--weights", weights, "--json").document
    assert found["latent_dim"] == 64


def test_inspect_draws_samples(here: Path, weights: Path) -> None:
    outcome = copgen("generator", "inspect", "digits", "--weights", weights, "--out", "samples.png")
    assert outcome.code == 0
    assert Path("samples.png").read_bytes().startswith(b"\x89PNG")
    assert outcome.err == f"Next: copgen navigate --generator digits --weights {weights}\n"


def test_a_recipe_is_shown_as_it_is_written() -> None:
    written = (ROOT / "copgen" / "recipes" / "digits.toml").read_text()
    assert copgen("recipes", "show", "digits").out == written
