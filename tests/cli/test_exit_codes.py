"""The table of exit codes, row by row, each with the subject of the error and its fix."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import copgen.stages.navigate.stage
from tests.cli.command import copgen as run

ROOT = Path(__file__).parents[2]
TINY = ("--steps", 64, "--batch", 64)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("navigate", "--generator", "bigigan"), "There is no generator 'bigigan'"),
        (("navigate", "--generator", "digit"), "Did you mean 'digits'?"),
        (("generator", "inspect", "digts"), "Did you mean 'digits'?"),
        (("generator", "fit", "digts"), "Did you mean 'digits'?"),
        (("navigate", "--recipe", "digts"), "Did you mean 'digits'?"),
        (("recipes", "show", "digts"), "Did you mean 'digits'?"),
        (("navigate", "--config", "typo.toml"), "Did you mean 'lr_navigator'?"),
        (("navigate", "--config", "absent.toml"), "There is no settings file absent.toml"),
        (("sample", "--tz", "optimum"), "Did you mean 'optimal'?"),
        (("navigate", "--stop", "deltas"), "Did you mean 'delta'?"),
        (("navigate", "--views", "mnits"), "Did you mean 'mnist'?"),
        (("navigate", "--encoder", "resnet81"), "Did you mean 'resnet18'?"),
        (("pretrain", "--dataset", "digit", "--updates", "3"), "Did you mean 'digits'?"),
        (("navigate", "--device", "tpu"), "'tpu' is not a device"),
        (("navigate", "--steps", "1.0005k"), "not a whole number"),
        (("navigate", "--steps", "0"), "at least 1"),
        (("navigate", "--steps", "-5"), "'-5' is not a count"),
        (("navigate", "--steps", "1e400"), "'1e400' is not a count"),
        (("navigate", "--steps", ""), "is not a count"),
        (("sample", "--n", "nan"), "'nan' is not a count"),
        (("navigate", "--steps", "64"), "less than one batch of 128"),
        (("navigate", "--steps", "64", "--updates", "2"), "--samples and --updates"),
        (("pretrain", "--dataset", "digits", "--epochs", "2", "--updates", "2"), "--epochs and --updates"),
        (("generator", "fit", "digits", "--samples", "64"), "less than one batch of 128"),
        (("pretrain", "--pairs", "pairs", "--dataset", "digits"), "--pairs and --dataset"),
        (("navigate", "--seed", "-1"), "'-1' is not a whole number"),
        (("navigate", "--delta", "wide"), "'wide' is not a number"),
        (("navigate", "--delta", "nan"), "delta"),
        (("navigate", "--genrator", "digits"), "--generator"),
        (("navgate",), "Did you mean 'navigate'"),
        (("navigator", "inspct"), "Did you mean 'inspect'"),
        (("generator", "inspect"), "Missing argument 'NAME'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_2_for_usage_and_settings(here: Path, words: tuple[str, ...], says: str) -> None:
    Path("typo.toml").write_text("lr_navigatr = 1e-3\n")
    told, document = run(*words), run(*words, "--json")
    assert (told.code, told.out) == (2, "")
    assert told.err.count("Error: ") == 1
    assert says in told.err
    error = document.document["error"]
    assert (document.code, error["code"]) == (2, 2)
    assert says in f"{error['what']} {error['fix']}"
    assert {path.name for path in here.iterdir()} == {"typo.toml"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sample",), "runs/navigate/navigator.safetensors"),
        (("pretrain",), "There are no pairs in pairs"),
        (("eval", "linear"), "runs/pretrain/encoder.safetensors"),
        (("navigate", "--weights", "absent.safetensors"), "absent.safetensors"),
        (("navigate", "--weights", "cut.safetensors"), "cut.safetensors"),
        (("generator", "inspect", "digits", "--weights", "cut.safetensors"), "cut.safetensors"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_3_for_files_that_fail_verification(here: Path, weights: Path, words: tuple[str, ...], says: str) -> None:
    Path("cut.safetensors").write_bytes(weights.read_bytes()[:-100])
    outcome = run(*words, "--json")
    assert (outcome.code, outcome.document["error"]["code"]) == (3, 3)
    assert says in outcome.document["error"]["what"]


def test_4_for_a_folder_that_holds_something_else(here: Path, weights: Path) -> None:
    Path("taken").mkdir()
    Path("taken/thesis.tex").write_text("mine")
    outcome = run("navigate", "--weights", weights, "--out", "taken", "--overwrite", *TINY)
    assert outcome.code == 4
    assert "thesis.tex" in outcome.err
    assert [path.name for path in Path("taken").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_4_for_a_full_disk_behind_stdout(unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "copgen_cli", "recipes", "show", "digits"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            timeout=240,
        )
    assert done.returncode == 4
    assert "The disk is full" in done.stderr


def test_5_for_a_loss_that_is_not_finite(here: Path, weights: Path) -> None:
    outcome = run("navigate", "--weights", weights, "--lr-encoder", 1e30, "--updates", 20, "--batch", 64, "--json")
    assert (outcome.code, outcome.document["error"]["code"]) == (5, 5)
    assert "at update" in outcome.document["error"]["what"]


def test_1_for_a_bug_with_a_traceback_only_when_asked(
    here: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(copgen.stages.navigate.stage, "navigate", broken)
    words = ("navigate", "--weights", weights, *TINY)
    plain, asked = run(*words), run(*words, "--debug")
    assert (plain.code, asked.code) == (1, 1)
    assert "ZeroDivisionError: of all things" in plain.err
    assert "--debug" in plain.err
    assert "Traceback" not in plain.err
    assert "Traceback" in asked.err
    monkeypatch.setenv("COPGEN_DEBUG", "1")
    document = run(*words, "--json")
    assert document.document["error"]["code"] == 1
    assert "Traceback" in document.err


def test_130_for_ctrl_c_outside_a_stage(here: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(copgen.stages.navigate.stage, "navigate", pressed)
    outcome = run("navigate", "--weights", weights, *TINY, "--json")
    assert (outcome.code, outcome.document["error"]["code"]) == (130, 130)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_stops_cleanly_and_the_same_command_resumes(
    here: Path, weights: Path, number: signal.Signals, code: int
) -> None:
    words = ["navigate", "--weights", str(weights), "--updates", "80", "--batch", "32", "--out", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "copgen_cli", *words], stderr=subprocess.PIPE, text=True, env=environment
    )
    metrics = here / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    story = process.communicate(timeout=240)[1]
    assert process.returncode == code, story
    assert f"Error: Stopped by {number.name} after update" in story
    assert "Run the same command to resume." in story
    again = run(*words)
    assert again.code == 0
    assert "Resuming from update" in again.err
