"""The check that needs a GPU: rehearsed at toy size, bounded in time, with results after each part."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_check, gpu_parts
from benchmarks.gpu_check import Part, check, limited
from copgen.storage.files import read_json

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
# Those that only start programs which have tests of their own are left to `python -m benchmarks.gpu_check --toy`.
HERE = ("losses", "peers", "navigator", "update", "compiled", "authors", "sample", "sanitizer")
PROGRAM = """
import subprocess, sys, time
part = sys.argv[1]
print("begins", part, flush=True)
if part == "hangs":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)
sys.exit(part == "fails")
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would run for minutes")
def test_without_a_gpu_the_gpu_check_says_so_and_fails() -> None:
    line = [sys.executable, "-m", "benchmarks.gpu_check"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "no CUDA device" in done.stderr


@pytest.mark.parametrize("part", HERE)
def test_the_rehearsal(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.timing.in_child", lambda *_: None)  # which measures memory in further processes
    notes = gpu_parts.Notes(part, CPU, tmp_path, toy=True)
    gpu_parts.PARTS[part](notes)
    assert not notes.failed, (tmp_path / f"{part}.md").read_text()
    text = (tmp_path / f"{part}.md").read_text()
    assert text.startswith(f"# {part} (toy)")
    assert len(text.splitlines()) > 4


def test_a_part_that_fails_in_the_middle_goes_on_and_says_why(tmp_path: Path) -> None:
    notes = gpu_parts.Notes("update", CPU, tmp_path, toy=True)

    def broken() -> None:
        raise ValueError("no kernel image")

    notes.attempt("first", broken)
    notes.attempt("second", lambda: 3)
    assert notes.failed
    assert (tmp_path / "update.md").read_text().splitlines()[-2:] == [
        "* first: failed: ValueError: no kernel image",
        "* second: 3",
    ]


def test_every_part_is_bounded_and_its_result_written_at_once(tmp_path: Path) -> None:
    parts = [Part("passes", 60), Part("hangs", 1.0), Part("fails", 60), Part("last", 60)]
    begin = time.monotonic()
    found = check(parts, tmp_path, command=[sys.executable, "-c", PROGRAM])
    assert time.monotonic() - begin < 120
    results = {name: result["result"] for name, result in found.items()}
    assert results == {"passes": "passed", "hangs": "killed after 1 s", "fails": "exit code 1", "last": "passed"}
    assert read_json(tmp_path / "summary.json") == found
    assert (tmp_path / "hangs.log").read_text() in ("begins hangs\n", "")


def test_what_a_part_started_is_killed_with_it(tmp_path: Path) -> None:
    child = tmp_path / "child"
    line = ["bash", "-c", f"sleep 600 & echo $! > {child}; wait"]
    result = limited(line, seconds=2.0, log=tmp_path / "log", variables=os.environ)["result"]
    assert result.startswith("killed")
    stat = Path(f"/proc/{child.read_text().strip()}/stat")
    deadline = time.monotonic() + 20
    while stat.exists() and " Z " not in stat.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not stat.exists() or " Z " in stat.read_text()


def test_parts_for_which_no_time_is_left_are_named(tmp_path: Path) -> None:
    found: dict[str, Any] = check([Part("passes", 60), Part("last", 60)], tmp_path, command=["true"], total=0.0)
    assert [result["result"] for result in found.values()] == ["not begun: no time is left"] * 2


def test_the_parts_that_are_worth_most_fit_together() -> None:
    worth = [part for part in gpu_check.PARTS if part.name not in ("sanitizer", "pretrain")]
    assert sum(part.seconds for part in worth) <= gpu_check.TOTAL_S == 12 * 60
    assert [part.name for part in gpu_check.PARTS] == list(gpu_parts.PARTS)


def test_what_is_carried_has_a_version() -> None:
    locked = {line.partition("==")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    lines = (ROOT / "benchmarks" / "requirements-gpu.txt").read_text().splitlines()
    assert {line.lower() for line in lines if not line.startswith("#")} <= locked
