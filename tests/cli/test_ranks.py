"""`copgen navigate --nproc`: several processes write one run, and stop and go on as one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.latents import load_navigator
from copgen.runtime.errors import ExitCode
from copgen.runtime.run_folder import read_metrics

ROOT = Path(__file__).parents[2]


def start(out: Path, nproc: int, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-W", "ignore", "-m", "copgen_cli", "navigate", "--generator", "digits", "--updates", "12"]
    words += [
        "--precision",
        "float64",
        "--batch",
        "8",
        "--device",
        "cpu",
        "--stop",
        "samples",
        "--out",
        str(out),
        "--nproc",
        str(nproc),
        *more,
    ]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def test_a_run_that_two_ranks_begin_is_ended_by_one_on_the_same_samples(tmp_path: Path) -> None:
    straight: dict[str, Any] = json.loads(finish(start(tmp_path / "alone", 1, "--json"))[1])

    begun = start(tmp_path / "run", 2)
    deadline = time.monotonic() + 200
    while not read_metrics(tmp_path / "run" / "metrics.jsonl") and time.monotonic() < deadline:
        time.sleep(0.05)
    begun.send_signal(signal.SIGTERM)
    code, said, err = finish(begun)
    assert code == ExitCode.STOPPED, err
    assert said == ""
    assert err.count("Stopped by SIGTERM") == 1

    code, said, err = finish(start(tmp_path / "run", 1, "--json"))
    assert code == 0, err
    assert "Going on from update" in err
    document = json.loads(said)
    assert document["samples"] == straight["samples"] == 96
    lines, expected = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("run", "alone"))
    assert [line["update"] for line in lines] == list(range(1, 13))
    for line, other in zip(lines, expected, strict=True):
        for name in ("loss_encoder", "loss_navigator", "d_mean", "d_max"):
            assert line[name] == pytest.approx(other[name], rel=1e-6), (line["update"], name)
    found, other_T = (load_navigator(tmp_path / name).state_dict() for name in ("run", "alone"))
    for name, value in found.items():
        torch.testing.assert_close(value, other_T[name], rtol=1e-6, atol=1e-6)


def test_a_batch_that_the_ranks_do_not_divide_is_told_once(tmp_path: Path) -> None:
    code, said, err = finish(start(tmp_path / "run", 3))
    assert (code, said) == (ExitCode.USAGE, "")
    assert err.count("A batch of 8 cannot be divided evenly among 3 ranks.") == 1
    assert "The nearest: 6 or 9." in err
    assert not (tmp_path / "run").exists()
