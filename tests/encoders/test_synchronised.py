"""Batch norms over several ranks never wait for the GPU; their numbers are tested with the stages, over real ranks."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from copgen.encoders.synchronised import SynchronisedBatchNorm, synchronise


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(6, 4, 5, 5), (6, 4)])
def test_a_pass_reads_nothing_back(shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors without values, whose reading is an error, stand in for a GPU's."""
    sums: list[Tensor] = []
    monkeypatch.setattr(dist, "get_world_size", lambda group: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda x, group: sums.append(x))
    group: Any = object()
    norm = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(4).to("meta")
    f = synchronise(nn.Sequential(norm), cast("ProcessGroup", group))
    assert isinstance(f[0], SynchronisedBatchNorm)  # type: ignore[index]
    x = torch.empty(shape, dtype=dtype, device="meta", requires_grad=True)
    y = f(x)
    assert (y.dtype, y.shape) == (dtype, shape)
    y.sum().backward()
    assert x.grad is not None
    assert [x.numel() for x in sums] == [4, 4, 8]
