"""Slices of the shards, and what schedulers say of a worker's place."""

from __future__ import annotations

import pytest

from copgen.distributed.slices import ShardSlice, parse_slice, slice_of
from copgen.runtime.environment import JobPlace, job_place
from copgen.runtime.errors import UsageError

SLURM_ARRAY = {
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "5",
}
SRUN = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}
TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}
KNOWN = (*SLURM_ARRAY, *SRUN, *TORCHRUN, "JOB_COMPLETION_INDEX", "SKYPILOT_JOB_RANK", "SKYPILOT_NUM_JOBS")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, JobPlace(0, 1, 0, "")),
        (TORCHRUN, JobPlace(5, 8, 1, "torchrun")),
        (SRUN, JobPlace(3, 8, 1, "srun")),
        ({**SRUN, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, JobPlace()),
        (SLURM_ARRAY, JobPlace(3, 5, 0, "SLURM array")),
        ({**SLURM_ARRAY, "SLURM_ARRAY_TASK_ID": "90"}, JobPlace(4, 5, 0, "SLURM array")),
        ({**SLURM_ARRAY, **SRUN}, JobPlace(27, 40, 1, "SLURM array and srun")),
        ({**SRUN, **TORCHRUN}, JobPlace(5, 8, 1, "torchrun")),
        ({"JOB_COMPLETION_INDEX": "4"}, JobPlace(4, None, 0, "Kubernetes")),
        ({"JOB_COMPLETION_INDEX": "4", **TORCHRUN}, JobPlace(37, None, 1, "Kubernetes and torchrun")),
        ({"SKYPILOT_JOB_RANK": "2", "SKYPILOT_NUM_JOBS": "3"}, JobPlace(2, 3, 0, "SkyPilot")),
        ({"SKYPILOT_JOB_RANK": "2"}, JobPlace()),
        ({"RANK": "x", "WORLD_SIZE": "2"}, JobPlace()),
        ({"RANK": "2", "WORLD_SIZE": "2"}, JobPlace()),
        ({"JOB_COMPLETION_INDEX": "-1"}, JobPlace()),
    ],
    ids=str,
)
def test_a_worker_knows_its_place(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: JobPlace) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert job_place() == place
    assert slice_of(place) == ShardSlice(place.index, place.count)


@pytest.mark.parametrize("shards", [1, 2, 7, 40])
@pytest.mark.parametrize("count", [1, 3, 50, None])
def test_every_worker_tries_every_shard_once(shards: int, count: int | None) -> None:
    for index in range(count or 5):
        order = ShardSlice(index, count).order(shards)
        assert sorted(order) == list(range(shards))
        if count is not None:
            own = list(range(index, shards, count))
            assert order[: len(own)] == own


def test_workers_begin_apart() -> None:
    assert [ShardSlice(index, 4).order(20)[0] for index in range(4)] == [0, 1, 2, 3]
    assert [ShardSlice(index, None).order(20)[0] for index in range(4)] == [0, 1, 2, 3]
    assert ShardSlice(1, 3).order(8) == [1, 4, 7, 6, 5, 3, 2, 0]
    assert ShardSlice(2, None).order(4) == [2, 3, 0, 1]


def test_a_slice_is_shared_among_workers() -> None:
    assert [ShardSlice(1, 2).part(worker, 3) for worker in range(3)] == [ShardSlice(i, 6) for i in (3, 4, 5)]
    assert ShardSlice(1, None).part(2, 3) == ShardSlice(5, None)


def test_a_slice_is_read() -> None:
    assert parse_slice("0/1") == ShardSlice()
    assert parse_slice(" 17/300 ") == ShardSlice(17, 300)
    assert str(parse_slice("2/3")) == "2/3"


@pytest.mark.parametrize("text", ["", "1", "1/", "a/b", "-1/2", "1/2/3", "1.0/2", "3/3", "0/0"])
def test_no_slice_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"slice") as caught:
        parse_slice(text)
    assert caught.value.fix
