"""`--deterministic` on CUDA, where it takes effect; needs no GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.runtime.errors import EnvironmentFault, ExitCode
from copgen.stages.navigate.settings import NavigateSettings
from copgen.training.deterministic import deterministic_kernels
from copgen.training.run import started

CUDA = torch.device("cuda:0")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CUBLAS_WORKSPACE_CONFIG, and none left behind."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)


def state() -> tuple[bool, bool, bool, bool]:
    memory: Any = torch.utils.deterministic  # untyped in torch
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        memory.fill_uninitialized_memory,
    )


def test_kernels_are_deterministic_inside_and_as_before_after_it() -> None:
    before = state()
    with deterministic_kernels(CUDA):
        assert state() == (True, False, False, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert state() == before


def test_the_workspace_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic_kernels(CUDA):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_an_operation_without_a_deterministic_kernel_is_named() -> None:
    before = state()
    with pytest.raises(EnvironmentFault, match="grid_sampler_2d_backward_cuda") as fault, deterministic_kernels(CUDA):
        raise RuntimeError(
            "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'."
        )
    assert fault.value.code == ExitCode.ENVIRONMENT
    assert "--deterministic" in fault.value.fix
    assert state() == before


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="out of range"), deterministic_kernels(CUDA):
        raise RuntimeError("out of range")


def test_nothing_changes_on_the_cpu() -> None:
    before = state()
    with deterministic_kernels(torch.device("cpu")):
        assert state() == before
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.parametrize("wanted", [False, True])
def test_a_run_asks_for_it_only_if_its_settings_do(
    wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.device] = []

    def note(device: torch.device) -> object:
        asked.append(device)
        return deterministic_kernels(device)

    monkeypatch.setattr("copgen.training.run.deterministic_kernels", note)
    settings = NavigateSettings(generator="digits", samples=4, batch=2)
    with started(settings, tmp_path / "run", stage="navigate", artefact="a", device="cpu", deterministic=wanted):
        pass
    assert asked == [torch.device("cpu")] * wanted
