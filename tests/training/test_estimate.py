"""What a whole run takes, from a few updates of it with known times and sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from copgen.runtime.errors import ExitCode, Stopped
from copgen.training.estimate import folder_bytes, rehearse_training


class Run:
    """A run that writes files of known sizes."""

    def __init__(self, times: Sequence[float], checkpoints: int) -> None:
        self.times = times
        self.checkpoints = checkpoints

    def __call__(self, folder: Path) -> None:
        lines = [json.dumps({"update": 1, "seconds": time}).ljust(49) + "\n" for time in self.times]
        (folder / "metrics.jsonl").write_text("".join(lines))
        (folder / "checkpoints").mkdir()
        for number in range(self.checkpoints):
            (folder / "checkpoints" / f"{number}.safetensors").write_bytes(bytes(1000))
        (folder / "previews").mkdir()
        (folder / "previews" / "final.png").write_bytes(bytes(30))


@pytest.mark.parametrize(
    ("times", "seconds"), [((5.0, 5.5, 6.0), 100 * 0.5), ((0.25,), 100 * 0.25), ((9.0, 9.5), 100 * 0.5)]
)
def test_time_leaves_the_slow_first_update_out_where_there_are_others(times: list[float], seconds: float) -> None:
    assert rehearse_training(Run(times, 1), updates=100)["seconds"] == pytest.approx(seconds)


@pytest.mark.parametrize("checkpoints", [1, 2])
def test_disk_counts_two_checkpoints_all_metrics_and_what_is_written_again(checkpoints: int) -> None:
    run = Run((1.0, 2.0), checkpoints)
    assert rehearse_training(run, updates=100)["disk_bytes"] == 2000 + 100 * 50 + 30
    more = {"previews/final.png": 7}
    assert rehearse_training(run, updates=100, more=more)["disk_bytes"] == 2000 + 100 * 50 + 8 * 30
    assert rehearse_training(run, updates=2)["disk_bytes"] == 1000 * checkpoints + 2 * 50 + 30


def test_nothing_is_left_behind(temporary: Path) -> None:
    def fail(folder: Path) -> None:
        assert folder.parent == temporary
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        rehearse_training(fail, updates=2)
    assert list(temporary.iterdir()) == []


GROWS = """
from copgen.training.estimate import peak_memory
before = peak_memory()
block = b"x" * (before + 64 * 2**20)  # a child's peak begins with its parent's
grown = peak_memory()
del block
print(grown - before, peak_memory() - grown)
"""


def test_peak_memory_is_in_bytes_and_stays_when_memory_is_freed() -> None:
    added, later = map(
        int, subprocess.run([sys.executable, "-c", GROWS], capture_output=True, check=True).stdout.split()
    )
    assert 64 * 2**20 <= added < 1024 * 2**20
    assert 0 <= later < 16 * 2**20


def test_the_size_of_a_folder_is_that_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "below" / "further").mkdir(parents=True)
    (tmp_path / "a").write_bytes(bytes(3))
    (tmp_path / "below" / "further" / "b").write_bytes(bytes(4))
    assert folder_bytes(tmp_path) == 7


def test_a_stopped_rehearsal_does_not_speak_of_a_saved_state() -> None:
    def stopped(folder: Path) -> None:
        raise Stopped("Stopped by SIGINT after update 1 of 2; the state is saved.", code=ExitCode.INTERRUPTED)

    with pytest.raises(Stopped, match="before the estimate was made") as caught:
        rehearse_training(stopped, updates=2)
    assert caught.value.code == ExitCode.INTERRUPTED
    assert caught.value.fix == "Run the same command again."
