"""Out of memory in `sample`: exit code 4 and the batch, which is part of the plan; one of several workers warns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from copgen.distributed.slices import ShardSlice
from copgen.pairs import layout
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.signals import StopRequest
from copgen.stages.sample import batches, estimate, stage
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.workers import run_workers
from tests.stages.small import Recorder

SETTINGS = SampleSettings(generator="digits", transform="gaussian", std=0.1, n=8, batch=4, device="cpu")


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*given: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(batches, "make", make)


@pytest.mark.usefixtures("without_memory")
def test_a_run_and_its_estimate_name_the_batch(tmp_path: Path) -> None:
    for call in (lambda: stage.sample(SETTINGS, out=tmp_path / "pairs"), lambda: estimate.estimate(SETTINGS)):
        with pytest.raises(EnvironmentFault, match="out of memory with batches of 4 pairs") as caught:
            call()
        assert "--batch" in caught.value.fix
        assert "--overwrite" in caught.value.fix


def test_shards_are_regenerated_with_the_batch_of_the_plan(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    stage.sample(SETTINGS, out=tmp_path)
    before = layout.tar_path(tmp_path, 0).read_bytes()
    request.getfixturevalue("without_memory")
    with pytest.raises(EnvironmentFault, match="out of memory") as caught:
        stage.sample(SETTINGS, out=tmp_path, only=[0])
    assert "--batch" not in caught.value.fix
    assert layout.tar_path(tmp_path, 0).read_bytes() == before


WORKER = """
import sys, torch
from copgen.stages.sample import worker_process
def work(*given, **how):
    if how["part"].index == 0:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
worker_process.work = work
sys.exit(worker_process.main())
"""


def test_one_of_several_workers_warns_and_leaves_its_work_to_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    events = Recorder()
    tasks = [stage.task(SETTINGS, "pairs", ShardSlice(), 0, worker, 2) for worker in range(2)]
    with StopRequest() as stop:
        run_workers(tasks, note=lambda *of: None, events=events, stop=stop, command=(sys.executable, "-c", WORKER))
    first, *_ = events.warnings
    assert "out of memory with batches of 4 pairs" in first
    assert "--batch" in first
    assert "Traceback" not in capfd.readouterr().err
