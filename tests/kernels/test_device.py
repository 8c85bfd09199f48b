"""Kernels are launched on the GPU of their tensors, whichever is the current one; needs no GPU."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.runtime.jit import KernelInterface

from copgen.kernels import launch_grid, navigate, navigate_tiles, tile_table
from copgen.latents.operations import tensor_cores
from copgen.objectives.operators import info_nce, sup_con

SECOND = torch.device("cuda:1")
DTYPES = (torch.float32, torch.bfloat16)


class Current:
    """Stands in for `torch.cuda.device`, and for the device it sets: `at`."""

    at = torch.device("cuda:0")

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> None:
        Current.at, self.device = self.device, Current.at

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        Current.at, self.device = self.device, Current.at
        return False


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, on_kernels: None) -> list[torch.device]:
    """The current device at each launch; nothing runs."""
    devices: list[torch.device] = []
    before = KernelInterface.__getitem__

    def launch(kernel: Any, grid: object) -> Any:
        devices.append(Current.at)
        before(kernel, grid)
        return lambda *arguments, **options: None

    monkeypatch.setattr(KernelInterface, "__getitem__", launch)
    monkeypatch.setattr(torch.cuda, "device", Current)
    for module in (launch_grid, navigate, navigate_tiles):
        monkeypatch.setattr(module, "processors", lambda device: 4)
    monkeypatch.setattr(navigate_tiles, "architecture_of", lambda device: 90)
    monkeypatch.setattr(navigate_tiles, "has_little_memory", lambda device: False)
    monkeypatch.setattr(tile_table, "architecture_of", lambda device: 90)
    monkeypatch.setattr(tile_table, "has_little_memory", lambda device: False)
    if torch.__version__.startswith("2.11."):  # its fake implementation takes `out_dtype` for `beta`; CUDA's does not
        monkeypatch.setattr(torch, "addmm", lambda total, left, right, *, out_dtype, out: out)
    return devices


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [48, 384])
def test_info_nce(launched: list[torch.device], d: int, dtype: torch.dtype) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        h, h_pos = (torch.empty(40, d, dtype=dtype, device=SECOND) for _ in range(2))
        loss, lse, lost, *kept = info_nce._forward(h, h_pos, None, None, 0.1, True, False, True)
        forward = len(launched)
        info_nce._backward(
            loss, kept[:2], kept[3:5], None, 0.1, lse, lost, True, False, dtype, [True, True, False, False]
        )
    assert 0 < forward < len(launched)
    assert set(launched) == {SECOND}
    assert Current.at == torch.device("cuda:0")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [48, 384])
def test_sup_con(launched: list[torch.device], d: int, dtype: torch.dtype) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        z = torch.empty(40, d, dtype=dtype, device=SECOND)
        labels = torch.empty(40, dtype=torch.int64, device=SECOND)
        losses, count, lse, lost, unit, length = sup_con._forward(z, labels, None, 0.1, False)
        forward = len(launched)
        sup_con._backward(losses, unit, length, labels, None, 0.1, lse, lost, count, dtype)
    assert 0 < forward < len(launched)
    assert set(launched) == {SECOND}


@pytest.mark.parametrize("dtype", DTYPES)
def test_navigate(launched: list[torch.device], dtype: torch.dtype) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        z, w1, b1, w2, b2 = (torch.empty(size, dtype=dtype, device=SECOND) for size in ((40, 6), (5, 6), 5, (6, 5), 6))
        tensor_cores._forward(z, w1, b1, w2, b2, 0.3, 40)
    assert launched == [SECOND, SECOND]
    assert Current.at == torch.device("cuda:0")
