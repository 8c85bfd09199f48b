"""The losses of `copgen.objectives` on the Triton kernels, whatever the device: Triton's interpreter has CPU tensors.

What a kernel does not write is NaN, so that it would be seen in the results.
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
    """The operators call the Triton kernels for every device."""
    for module in (info_nce, sup_con, ranks):
        monkeypatch.setattr(module, "kernels_for", lambda device: triton_kernels)


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that is handed out without a value is filled with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)
