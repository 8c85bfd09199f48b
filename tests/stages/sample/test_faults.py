"""Sampling under fire: workers that are killed at random, any number of them, a disk that fills up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from copgen import pairs
from copgen.runtime.errors import ExitCode
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.stages.under_fire import hashes

ROOT = Path(__file__).parents[3]


def settings(flow: Path, **changes: Any) -> SampleSettings:
    fields = {
        "generator": "digits",
        "weights": flow,
        "transform": "gaussian",
        "n": 1150,
        "batch": 50,
        "pairs_per_shard": 50,
        "device": "cpu",
    }
    return SampleSettings.model_validate({**fields, **changes})


def under_fire(what: str, made: SampleSettings, out: Path, **how: Any) -> Any:
    """What the process saw that runs the workers."""
    task = {"settings": made.model_dump(mode="json"), "out": str(out), **how}
    command = [sys.executable, "-W", "ignore", "-m", "tests.stages.under_fire", what, json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("kills", "n"), [(12, 2_000), pytest.param(200, 30_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_a_job_whose_workers_are_killed_at_random_ends_with_the_same_bytes(
    flow: Path, tmp_path: Path, kills: int, n: int
) -> None:
    made = settings(flow, n=n, encoders=1)
    sample(made, out=tmp_path / "straight")
    seen = under_fire("kills", made, tmp_path / "run", workers=3, kills=kills, seconds=0.1, seed=kills)
    assert seen["failures"] == []
    assert seen["kills"] >= kills
    assert pairs.verify(tmp_path / "run", "full") == []
    assert hashes(tmp_path / "run") == hashes(tmp_path / "straight")


# (workers of each crew, how many shards are there when it is stopped)
CREWS: list[tuple[list[int], list[int]]] = [([1], []), ([2], []), ([3], []), ([3, 2], [8]), ([1, 4, 2], [4, 12])]


def test_any_number_of_workers_makes_the_same_shards(flow: Path, tmp_path: Path) -> None:
    made = settings(flow)
    sample(made, out=tmp_path / "straight")
    jobs = [
        {"place": f"job-{number}", "crews": crews, "shards": shards} for number, (crews, shards) in enumerate(CREWS)
    ]
    for job, seen in zip(jobs, under_fire("counts", made, tmp_path, jobs=jobs), strict=True):
        *stopped, last = seen["codes"]
        assert set(last) == {0}, job
        assert all(set(codes) <= {0, ExitCode.STOPPED} for codes in stopped), job
        assert hashes(tmp_path / str(job["place"])) == hashes(tmp_path / "straight"), job


@pytest.mark.parametrize("step", [25, pytest.param(5, marks=pytest.mark.soak)])
def test_a_full_disk_tears_no_file_and_the_same_command_goes_on(flow: Path, tmp_path: Path, step: int) -> None:
    made = settings(flow, n=120, pairs_per_shard=60)
    sample(made, out=tmp_path / "straight")
    straight = hashes(tmp_path / "straight")
    size = (tmp_path / "straight/shards/shard-000000.tar").stat().st_size
    limits = [0, 100, *(size * percent // 100 for percent in range(step, 100, step)), size - 1]
    for seen in under_fire("full", made, tmp_path, limits=limits):
        assert seen["codes"] == [ExitCode.ENVIRONMENT, 0], seen["limit"]
        whole = {name: digest for name, digest in seen["left"].items() if name != "LOCK"}
        assert whole.items() <= straight.items(), seen["limit"]
        assert not any(name.startswith("records/") for name in whole)
        assert seen["end"] == straight, seen["limit"]
