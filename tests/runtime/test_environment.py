"""Placements: what torchrun's variables say, and values that are refused by name."""

from __future__ import annotations

import os

import pytest

from copgen.runtime.environment import Placement, check_rendezvous, own_cores, placement
from copgen.runtime.errors import ExitCode, UsageError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_NODEID", "SLURM_CPUS_ON_NODE", "SLURM_STEP_TASKS_PER_NODE")
STEP = "SLURM_PROCID=9 SLURM_STEP_TASKS_PER_NODE"


def set_variables(patch: pytest.MonkeyPatch, text: str) -> None:
    """Set the variables of a line such as "RANK=0 WORLD_SIZE=2", and no others."""
    for name in NAMES + SLURM:
        patch.delenv(name, raising=False)
    for assignment in text.split():
        patch.setenv(*assignment.split("=", 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Placement()),
        ("RANK=0", Placement()),
        ("WORLD_SIZE=4", Placement()),
        ("RANK=0 WORLD_SIZE=1", Placement()),
        ("RANK=1 WORLD_SIZE=2", Placement(1, 1, 2, 2)),
        ("RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4", Placement(5, 1, 8, 4)),
    ],
)
def test_a_placement_is_read(monkeypatch: pytest.MonkeyPatch, text: str, expected: Placement) -> None:
    set_variables(monkeypatch, text)
    assert placement() == expected


@pytest.mark.parametrize(
    ("text", "bound", "own"),
    [
        ("", 128, 128),
        ("RANK=1 WORLD_SIZE=16 LOCAL_RANK=1 LOCAL_WORLD_SIZE=8", 128, 16),
        ("RANK=1 WORLD_SIZE=16 LOCAL_RANK=1 LOCAL_WORLD_SIZE=8", 6, 1),
        ("RANK=0 WORLD_SIZE=1 LOCAL_WORLD_SIZE=1", 128, 128),
        (f"{STEP}=8(x2) SLURM_NODEID=1", 128, 16),
        (f"{STEP}=8(x2),3 SLURM_NODEID=2", 128, 42),
        (f"{STEP}=8(x2) SLURM_CPUS_ON_NODE=128 SLURM_NODEID=1", 16, 16),  # srun has bound each task to its cores
        (f"{STEP}=1 RANK=1 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4", 128, 32),
        ("SLURM_STEP_TASKS_PER_NODE=8", 128, 128),  # an sbatch script, which is no task of a step
    ],
)
def test_the_processes_on_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, text: str, bound: int, own: int
) -> None:
    set_variables(monkeypatch, text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(bound)))
    assert own_cores() == own


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RANK=2 WORLD_SIZE=2", "RANK"),
        ("RANK=1 WORLD_SIZE=1", "RANK"),
        ("RANK=0 WORLD_SIZE=0", "WORLD_SIZE"),
        ("RANK=-1 WORLD_SIZE=2", "RANK"),
        ("RANK=1 WORLD_SIZE=two", "WORLD_SIZE"),
        ("RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=1", "LOCAL_RANK"),
        ("RANK=1 WORLD_SIZE=2 LOCAL_RANK=x", "LOCAL_RANK"),
        ("RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=3", "LOCAL_WORLD_SIZE"),
    ],
)
def test_an_impossible_placement_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str, name: str) -> None:
    set_variables(monkeypatch, text)
    with pytest.raises(UsageError, match=rf"\b{name}\b") as caught:
        placement()
    assert caught.value.code is ExitCode.USAGE
    assert os.environ[name] in caught.value.what


@pytest.mark.parametrize("host", ["node-1", "node_1.cluster.local", "10.0.0.1", "::1", "[fe80::1]"])
def test_a_meeting_point_is_accepted(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    set_variables(monkeypatch, f"MASTER_ADDR={host} MASTER_PORT=29500")
    check_rendezvous()


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        (None, "29500", "MASTER_ADDR"),
        ("", "29500", "MASTER_ADDR"),
        ("node-1:29500", "29500", "MASTER_ADDR"),
        ("tcp://node-1", "29500", "MASTER_ADDR"),
        ("node-1", None, "MASTER_PORT"),
        ("node-1", "", "MASTER_PORT"),
        ("node-1", "http", "MASTER_PORT"),
        ("node-1", "0", "MASTER_PORT"),
        ("node-1", "-1", "MASTER_PORT"),
        ("node-1", "65536", "MASTER_PORT"),
        ("node-1", "29500.0", "MASTER_PORT"),
        ("node-1", "9" * 5000, "MASTER_PORT"),
    ],
)
def test_a_bad_meeting_point_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, host: str | None, port: str | None, name: str
) -> None:
    set_variables(monkeypatch, "")
    for variable, value in (("MASTER_ADDR", host), ("MASTER_PORT", port)):
        if value is not None:
            monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=name):
        check_rendezvous()
