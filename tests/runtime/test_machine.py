"""The device by name, and the description of the machine that goes into a run folder."""

from __future__ import annotations

import contextlib
import json
from importlib import metadata
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import copgen
from copgen.runtime import machine
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.runtime.machine import describe, has_bfloat16, resolve_device, threads_of_each, versions


@pytest.mark.parametrize(("count", "device"), [(0, "cpu"), (2, "cuda")])
def test_auto_takes_cuda_where_there_is_one(count: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    assert resolve_device("auto") == torch.device(device)
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    "name", ["", "gpu", "cud", "CPU", "cpu ", "cuda:", "cuda:x", "cuda:-1", "2", "cuda:1:2", "cuda:9999999999"]
)
def test_what_is_no_device_name_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="is not a device"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["meta", "mps", "xpu", "vulkan"])
def test_other_kinds_of_device_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not supported"):
        resolve_device(name)


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:7", 4)])
def test_a_device_that_is_not_here_is_never_replaced(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(EnvironmentFault, match=f"'{name}'"):
        resolve_device(name)


def test_a_device_that_is_here_is_taken_and_becomes_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert current == [torch.device("cuda:1")]


@given(st.text(max_size=8))
def test_any_name_gives_a_device_or_a_clear_error(name: str) -> None:
    with contextlib.suppress(UsageError, EnvironmentFault):
        assert resolve_device(name).type in ("cpu", "cuda")


CASES = [(4, False, 4), (64, False, 64), (80, False, 64), (4, True, 64)]


@pytest.mark.parametrize(("allowed", "told", "threads"), CASES)
def test_torch_has_no_more_threads_than_the_container_has_cores(
    allowed: int, told: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [64]
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[-1])
    monkeypatch.setattr(torch, "set_num_threads", now.append)
    monkeypatch.setattr(machine, "cores", lambda: allowed)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told:
        monkeypatch.setenv("OMP_NUM_THREADS", "64")
    resolve_device("cpu")
    assert now[-1] == threads
    assert threads_of_each(2) == (64 if told else threads // 2)


@pytest.mark.parametrize(("processes", "set_by_user", "each"), [(2, None, 3), (4, None, 1), (8, None, 1), (2, "6", 6)])
def test_processes_share_the_threads_unless_told_otherwise(
    processes: int, set_by_user: str | None, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(machine, "cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by_user is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", set_by_user)
    assert threads_of_each(processes) == each


def test_the_description_is_json_and_holds_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush-hush")
    text = json.dumps(describe(torch.device("cpu")))
    assert json.loads(text).keys() == {"versions", "python", "system", "device", "threads"}
    assert json.loads(text)["versions"] == versions()
    assert "hush-hush" not in text


def test_the_versions_are_of_all_that_decides_numbers() -> None:
    found = versions()
    assert found.pop("copgen") == copgen.__version__
    assert found.pop("torch") == torch.__version__
    assert found == {name: metadata.version(name) for name in found}
    assert {"torchvision", "numpy", "pillow", "safetensors"} <= found.keys()


@pytest.mark.parametrize(
    ("lines", "has"),
    [
        ("processor: 0\nflags : fpu avx2 avx512f\n", False),
        ("flags : avx512f avx512_bf16 amx_tile\n", True),
        ("Features : fp asimd bf16\n", True),
        ("Features : fp asimd\n", False),
        ("", True),
    ],
)
def test_whether_a_cpu_has_bfloat16_instructions(lines: str, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: lines)
    assert has_bfloat16(torch.device("cpu")) is has
