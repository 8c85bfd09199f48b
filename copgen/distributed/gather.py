"""Rows of all ranks, with gradient, so that a loss over them is that of one process with the global batch.

Legend: K rows of this rank, W ranks.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

# torch 2.14 renames it and deprecates the old name.
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)


def gather_rows(own: Tensor, group: ProcessGroup | None) -> Tensor:
    """(W K, ...) the rows (K, ...) of all ranks, in the order of the ranks; the same tensor for a single process.

    The gradient of a rank's rows is the sum of what all ranks' losses give, so that averaging over the ranks, as
    DistributedDataParallel does, gives the gradient of the mean of the losses.
    """
    return own if group is None else cast("Tensor", _Gather.apply(own, group))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group, ctx.rows = group, len(own)
        everyone = own.new_empty(dist.get_world_size(group) * len(own), *own.shape[1:])
        _all_gather(everyone, own.contiguous(), group=group)
        return everyone

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        start = dist.get_rank(ctx.group) * ctx.rows
        return total[start : start + ctx.rows], None
