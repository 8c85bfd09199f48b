"""`sample --workers N`: the process that starts them, receives their messages, and forwards signals and errors."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.errors import CopgenError, EnvironmentFault, ExitCode, Stopped
from copgen.runtime.signals import StopRequest
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.stages.sample.workers import Worker, run_workers
from tests.stages.small import Recorder, files, send

# A worker without anything to load. It does what its task says: parts of lines, lines, waiting, an exit code.
PRETENDER = """
import json, os, signal, sys, time
task = json.load(sys.stdin)
def stop(number, frame):
    words = {"what": "Stopped by SIGTERM.", "fix": "It goes on.", "code": 75}
    os.write(1, json.dumps({"error": words}).encode() + b"\\n")
    os._exit(75)
signal.signal(signal.SIGTERM, stop)
for piece in task["says"]:
    os.write(1, piece.encode())
    time.sleep(0.02)
if task.get("kill"):
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(task.get("seconds", 0))
sys.exit(task.get("code", 0))
"""
DISK = '{"error": {"what": "The disk is full.", "fix": "Free some space.", "code": 4}}\n'
Run = Callable[..., dict[int, int]]


@pytest.fixture
def run() -> Run:
    def run(*tasks: dict[str, Any], events: Recorder | None = None) -> dict[int, int]:
        heard: dict[int, int] = {}
        with StopRequest() as stop:
            run_workers(
                [{"threads": 1, "says": [], **task} for task in tasks],
                note=heard.__setitem__,
                events=events or Recorder(),
                stop=stop,
                command=(sys.executable, "-c", PRETENDER),
            )
        return heard

    return run


def test_progress_of_all_arrives_in_any_pieces(run: Run) -> None:
    one = ['{"shard": 0, "pa', 'irs": 10}\n{"shard": 0, "pairs": 20}\n', '{"shard": 2, "pairs": 7}', "\n"]
    events = Recorder()
    other = ['{"shard": 1, "pairs": 30}\n', '{"warning": "Careful."}\n']
    assert run({"says": one}, {"says": other}, events=events) == {0: 20, 1: 30, 2: 7}
    assert events.warnings == ["Careful."]


def test_the_death_of_one_is_a_warning(run: Run) -> None:
    events = Recorder()
    run({"kill": True}, {"seconds": 0.6}, events=events)
    (warning,) = events.warnings
    assert re.match(r"Worker 0 .*SIGKILL;", warning)


def test_the_death_of_all_is_an_error(run: Run) -> None:
    with pytest.raises(EnvironmentFault, match=r"Worker 0 .*SIGKILL\.") as caught:
        run({"kill": True}, {"kill": True})
    assert "same command" in caught.value.fix


def test_an_error_of_one_stops_the_others_and_is_raised_here(run: Run) -> None:
    start = time.monotonic()
    with pytest.raises(CopgenError) as caught:
        run({"seconds": 60}, {"says": [DISK], "code": 4}, {"seconds": 60})
    assert time.monotonic() - start < 30
    assert (caught.value.what, caught.value.fix) == ("The disk is full.", "Free some space.")
    assert caught.value.code == ExitCode.ENVIRONMENT


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.STOPPED), (signal.SIGUSR2, ExitCode.STOPPED)], ids=str
)
def test_a_signal_is_forwarded_and_all_are_waited_for(run: Run, number: signal.Signals, code: ExitCode) -> None:
    class Sender(Recorder):
        def warn(self, text: str) -> None:
            send(number)

    with pytest.raises(Stopped, match=f"Stopped by {number.name} with all its workers") as caught:
        run({"says": ['{"warning": "now"}\n'], "seconds": 60}, {"seconds": 60}, events=Sender())
    assert caught.value.code == code


def test_real_processes_share_the_work_and_make_good_what_one_loses(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SampleSettings.model_validate(
        {
            "generator": "digits",
            "weights": flow,
            "transform": "gaussian",
            "n": 2000,
            "pairs_per_shard": 100,
            "batch": 50,
            "device": "cpu",
        }
    )
    sample(made, out=tmp_path / "straight")
    crew: list[Worker] = []
    real = Worker.__init__

    def remembered(self: Worker, number: int, task: dict[str, Any], command: Sequence[str]) -> None:
        real(self, number, task, command)
        crew.append(self)

    monkeypatch.setattr(Worker, "__init__", remembered)

    class Killer(Recorder):
        def advance(self, done: int, values: Mapping[str, float]) -> None:
            super().advance(done, values)
            crew[1].send(signal.SIGKILL)

    events = Killer()
    summary = sample(made, out=tmp_path / "run", workers=2, events=events)
    assert summary["pairs"] == 2000
    assert events.tasks == [("sample", 2000, "pairs", 0)]
    assert events.advances[-1] == 2000
    (warning,) = events.warnings
    assert re.match(r"Worker 1 .*SIGKILL;", warning)
    assert files(tmp_path / "run") == files(tmp_path / "straight")
