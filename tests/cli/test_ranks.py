"""`copgen navigate` in several processes: they write one run, stop and go on as one, and one of them speaks."""

from __future__ import annotations

import json
import shlex
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
from copgen.training.metrics import read_metrics
from copgen_cli.ranks import without_nproc
from tests.cli.command import copgen

ROOT = Path(__file__).parents[2]
RUN = shlex.split("navigate --generator digits --updates 12 --precision float64 --batch 8 --device cpu --stop samples")
ALONE = [sys.executable, "-W", "ignore", "-m"]
TORCHRUN = [
    sys.executable,
    "-W",
    "ignore",
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
]


def start(out: Path, *more: str, by: list[str] = ALONE) -> subprocess.Popen[str]:
    words = [*by, "copgen_cli", *RUN, "--out", str(out), *more]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("ranks") / "alone"
    code, said, err = finish(start(out, "--json"))
    assert code == 0, err
    assert json.loads(said)["samples"] == 96
    return out


def assert_follows(folder: Path, alone: Path) -> None:
    lines, expected = (read_metrics(run / "metrics.jsonl") for run in (folder, alone))
    assert [line["update"] for line in lines] == list(range(1, 13))
    for line, other in zip(lines, expected, strict=True):
        for name in ("loss_encoder", "loss_navigator", "d_mean", "d_max"):
            assert line[name] == pytest.approx(other[name], rel=1e-6), (line["update"], name)
    found, other_T = (load_navigator(run).state_dict() for run in (folder, alone))
    for name, value in found.items():
        torch.testing.assert_close(value, other_T[name], rtol=1e-6, atol=1e-6)


def test_a_run_that_two_ranks_begin_is_ended_by_one_on_the_same_samples(tmp_path: Path, alone: Path) -> None:
    begun = start(tmp_path / "run", "--nproc", "2")
    deadline = time.monotonic() + 200
    while not read_metrics(tmp_path / "run" / "metrics.jsonl") and time.monotonic() < deadline:
        time.sleep(0.05)
    begun.send_signal(signal.SIGTERM)
    code, said, err = finish(begun)
    assert code == ExitCode.STOPPED, err
    assert said == ""
    assert err.count("Error: ") == err.count("Stopped by SIGTERM") == 1

    code, said, err = finish(start(tmp_path / "run", "--json"))
    assert code == 0, err
    assert "Resuming from update" in err
    assert json.loads(said)["samples"] == 96
    assert_follows(tmp_path / "run", alone)


def test_torchrun_starts_the_ranks_as_well(tmp_path: Path, alone: Path) -> None:
    code, said, err = finish(start(tmp_path / "run", "--json", by=TORCHRUN))
    assert code == 0, err
    assert json.loads(said)["samples"] == 96
    assert err.count("Next: ") == 1
    assert_follows(tmp_path / "run", alone)


def test_what_all_ranks_find_wrong_is_told_once_with_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    more = ["--weights", str(tmp_path / "junk.safetensors"), "--json", "--nproc=2"]
    code, said, err = finish(start(tmp_path / "run", *more))
    error: dict[str, Any] = json.loads(said)["error"]
    assert code == error["code"] == ExitCode.DATA
    assert "junk.safetensors is not a " in error["what"]
    assert "Error" not in err
    assert not (tmp_path / "run").exists()


def test_a_batch_that_the_ranks_do_not_divide_is_refused(here: Path) -> None:
    for more in ([], ["--dry-run"]):
        outcome = copgen(*RUN, "--nproc", 3, *more)
        assert (outcome.code, outcome.out) == (ExitCode.USAGE, "")
        assert all(part in outcome.err for part in ("batch of 8", "3 ranks"))
        assert "6 or 9." in outcome.err
    assert list(here.iterdir()) == []


def test_the_plan_of_several_ranks_starts_none_of_them(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("copgen_cli.ranks.launch")
    plan = copgen(*RUN, "--nproc", 2, "--dry-run", "--json").document
    assert plan["settings"]["batch"] == 8
    assert (plan["estimate"]["ranks"], plan["estimate"]["batch_per_rank"]) == (2, 4)
    assert plan["estimate"]["seconds"] > 0
    text = copgen(*RUN, "--nproc", 2, "--dry-run").out
    assert "# 2 ranks, each with 4 of the 8 pairs of a batch" in text
    assert "of memory in each rank" in text


def test_ranks_do_not_start_ranks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    outcome = copgen(*RUN, "--nproc", 2)
    assert outcome.code == ExitCode.USAGE
    assert all(part in outcome.err for part in ("--nproc", "torchrun", "2 ranks"))


@pytest.mark.parametrize("words", [["--nproc", "2"], ["--nproc=2"], ["--nproc", "3", "--nproc=2"]])
def test_a_rank_gets_the_command_without_nproc(words: list[str]) -> None:
    assert without_nproc(["navigate", *words, "--batch", "8"]) == ["navigate", "--batch", "8"]
