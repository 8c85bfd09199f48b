"""A run that fails is passed over, told and tried again; what concerns all runs ends the sweep."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.distributed.slices import ShardSlice
from copgen.runtime.errors import CopgenError, DataError, Diverged, EnvironmentFault, ExitCode, UsageError
from copgen.stages.navigate import stage
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.sweep.grid import planned
from copgen.stages.sweep.record import recorded
from copgen.stages.sweep.stage import sweep
from copgen.storage.lock import locked
from tests.stages.small import Recorder
from tests.stages.sweep.sweeping import of, running


def test_a_run_that_diverges_is_passed_over(flow: Path, tmp_path: Path) -> None:
    events = Recorder()
    grid = of(flow, values={"lr_encoder": (1e30, 1e-3)}, seeds=1)
    found = sweep(grid, out=tmp_path, events=events)
    (failed,) = found["failed"]
    assert [failed["name"]] == found["missing"] == ["lr_encoder=1e+30/seed-0"]
    assert failed["code"] == ExitCode.DIVERGED
    assert any(failed["name"] in warning and failed["what"] in warning for warning in events.warnings)
    assert [row["seeds"] for row in found["rows"]] == [[], [0]]


def test_every_slice_knows_the_failures_of_the_others(flow: Path, tmp_path: Path) -> None:
    grid = of(flow, values={"lr_encoder": (1e30, 1e-3)}, seeds=1)
    first = sweep(grid, out=tmp_path, part=ShardSlice(0, 2))
    last = sweep(grid, out=tmp_path, part=ShardSlice(1, 2))
    assert [one["code"] for one in first["failed"]] == [ExitCode.DIVERGED]
    assert last["failed"] == first["failed"]
    assert json.loads((tmp_path / "summary.json").read_text()) == last


@pytest.mark.parametrize(
    "error",
    [
        EnvironmentFault("The GPU is out of memory with a batch of 8.", fix="Lower --batch."),
        DataError("pairs/ is missing."),
        UsageError("An encoder of these images cannot be made."),
    ],
)
def test_a_run_that_fails_does_not_keep_the_others_from_running(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: CopgenError
) -> None:
    events = Recorder()
    running(monkeypatch, failing={0.4: error})
    found = sweep(of(flow, seeds=1), out=tmp_path, events=events)
    assert found["failed"] == [
        {"name": "delta=0.4/seed-0", "what": error.what, "fix": error.fix, "code": int(error.code)}
    ]
    assert [row["seeds"] for row in found["rows"]] == [[], [0]]
    assert json.loads((tmp_path / "summary.json").read_text()) == found
    assert any("delta=0.4/seed-0" in warning and error.what in warning for warning in events.warnings)


def test_a_run_that_is_out_of_memory_is_passed_over(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch reports it, in the stage itself."""
    updated = stage.one_update

    def heavy(settings: NavigateSettings, *given: Any, **how: Any) -> Any:
        if settings.delta == 0.4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return updated(settings, *given, **how)

    monkeypatch.setattr(stage, "one_update", heavy)
    found = sweep(of(flow, seeds=1), out=tmp_path)
    assert [one["code"] for one in found["failed"]] == [ExitCode.ENVIRONMENT]
    assert found["missing"] == ["delta=0.4/seed-0"]


def test_a_full_disk_ends_the_sweep(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = EnvironmentFault("The disk is full.")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    running(monkeypatch, failing={0.4: full})
    with pytest.raises(EnvironmentFault, match="full"):
        sweep(of(flow, seeds=1), out=tmp_path)
    assert not (tmp_path / "delta=0.5").exists()
    assert not (tmp_path / "failures.json").exists()


def test_a_run_in_the_hands_of_another_process_ends_the_sweep(flow: Path, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(recorded(of(flow, seeds=1), planned(of(flow, seeds=1)))))
    with locked(tmp_path / "delta=0.4/seed-0"), pytest.raises(EnvironmentFault, match="in use"):
        sweep(of(flow, seeds=1), out=tmp_path)
    assert not (tmp_path / "delta=0.5").exists()
    assert not (tmp_path / "failures.json").exists()


def test_a_run_that_works_at_last_has_failed_no_longer(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = of(flow, seeds=1)
    running(monkeypatch, failing={0.4: Diverged("The loss is nan.")})
    assert [one["name"] for one in sweep(grid, out=tmp_path)["failed"]] == ["delta=0.4/seed-0"]
    running(monkeypatch, failing={})
    found = sweep(grid, out=tmp_path)
    assert found["failed"] == found["missing"] == []
