"""f over ranks: gradients averaged by DistributedDataParallel. Batch statistics are encoders/synchronised.py's."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from copgen.distributed.ranks import Ranks

# torch 2.14 has a new name for it and warns of the old one.
_NEW, _OLD = "forward_sync_buffers", "broadcast_buffers"
_BUFFERS_AS_THEY_ARE: dict[str, Any] = {_NEW if _NEW in signature(DistributedDataParallel).parameters else _OLD: False}


def averaging_gradients(module: nn.Module, ranks: Ranks) -> nn.Module:
    """The same module, whose backward pass averages the gradients of its parameters over the ranks."""
    if ranks.group is None:
        return module
    return DistributedDataParallel(
        module, process_group=ranks.group, gradient_as_bucket_view=True, **_BUFFERS_AS_THEY_ARE
    )
