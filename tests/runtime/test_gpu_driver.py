"""No driver, no GPU; where a driver is, torch is asked."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
import torch

from copgen.runtime import gpu_driver
from copgen.runtime.gpu_driver import may_have_gpu


def test_torch_finds_no_gpu_where_there_can_be_none() -> None:
    assert may_have_gpu() or not torch.cuda.is_available()


@pytest.mark.parametrize(("nvidia", "amd", "may"), [(False, False, False), (True, False, True), (False, True, True)])
def test_a_driver_of_either_kind_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvidia: bool, amd: bool, may: bool
) -> None:
    def load(name: str) -> None:
        if not nvidia:
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(gpu_driver, "_AMD", tmp_path if amd else tmp_path / "kfd")
    assert may_have_gpu() is may
