"""Runs the losses of `copgen.objectives` on the Triton kernels on any device; Triton's interpreter takes CPU tensors.

A test here fails if it launches no kernel, such as one that the kernels for the CPU answer. Uninitialised memory is
filled with NaN, so that results show what a kernel did not write.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from triton.runtime.jit import KernelInterface

from copgen.objectives import over_ranks as ranks
from copgen.objectives import triton_kernels
from copgen.objectives.operators import info_nce, sup_con


@pytest.fixture(autouse=True)
def on_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the operators call the Triton kernels for every device, and see that they do."""
    for module in (info_nce, sup_con, ranks):
        monkeypatch.setattr(module, "kernels_for", lambda device: triton_kernels)
    launched: list[object] = []
    launch = KernelInterface.__getitem__

    def noted(kernel: KernelInterface, grid: object) -> object:
        launched.append(kernel)
        return launch(kernel, grid)

    monkeypatch.setattr(KernelInterface, "__getitem__", noted)
    yield
    assert launched


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Fill uninitialised memory with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)
