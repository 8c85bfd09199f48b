"""Runs the losses of `copgen.objectives` on the Triton kernels on any device; Triton's interpreter takes CPU tensors.

Uninitialised memory is filled with NaN, so that results show what a kernel did not write.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from copgen.objectives import over_ranks as ranks
from copgen.objectives import triton_kernels
from copgen.objectives.operators import info_nce, sup_con


@pytest.fixture(autouse=True)
def on_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the operators call the Triton kernels for every device."""
    for module in (info_nce, sup_con, ranks):
        monkeypatch.setattr(module, "kernels_for", lambda device: triton_kernels)


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Fill uninitialised memory with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)
