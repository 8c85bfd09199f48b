"""Limits of control groups, as containers and batch systems write them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen.runtime import cgroup, environment, memory

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "root")
    monkeypatch.setattr(cgroup, "GROUPS", tmp_path / "groups")
    return tmp_path


def write(groups: Path, membership: str, files: dict[str, str]) -> None:
    (groups / "groups").write_text(membership)
    for name, text in files.items():
        (groups / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / "root" / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "cores", "left"),
    [
        ("", {}, None, None),
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.current": "5\n"}, None, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, None),
        (  # the limit of a group above counts, and the smallest one
            "0::/pods/one\n",
            {
                "pods/cpu.max": "200000 100000\n",
                "pods/one/cpu.max": "800000 100000\n",
                "pods/memory.max": f"{4 * GIB}\n",
                "pods/memory.current": f"{3 * GIB}\n",
                "pods/memory.stat": f"anon 7\ninactive_file {GIB}\n",
                "pods/one/memory.max": "max\n",
            },
            2.0,
            2 * GIB,
        ),
        (  # version 1; the path is that of the host, and only the root is visible
            "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": f"{2 * GIB}\n",
                "memory/memory.usage_in_bytes": f"{GIB}\n",
                "memory/memory.stat": "total_inactive_file 0\n",
            },
            0.5,
            GIB,
        ),
        (
            "2:cpu:/\n4:memory:/\n",
            {
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": "5\n",
            },
            None,
            None,
        ),
        ("0::/../other\n", {"cpu.max": "100000 100000\n"}, 1.0, None),  # a group outside this namespace
    ],
)
def test_limits(groups: Path, membership: str, files: dict[str, str], cores: float | None, left: int | None) -> None:
    write(groups, membership, files)
    assert cgroup.cpu_quota() == cores
    assert cgroup.memory_left() == left


def test_cores_and_free_memory_are_those_of_the_container(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    files = {"cpu.max": "350000 100000\n", "memory.max": "1000000\n", "memory.current": "400000\n"}
    write(groups, "0::/\n", files)
    assert environment.cores() == 4
    assert memory.free(torch.device("cpu")) == 600_000
    write(groups, "0::/\n", {"cpu.max": "10000 100000\n"})
    assert environment.cores() == 1
    write(groups, "0::/\n", {"cpu.max": "max 100000\n"})
    assert environment.cores() == 64
