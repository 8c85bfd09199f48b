"""f over ranks: DistributedDataParallel averages gradients; encoders/synchronised.py synchronises batch statistics."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from copgen.distributed.ranks import Ranks

# torch 2.14 renamed it and warns about the old name.
_NEW, _OLD = "forward_sync_buffers", "broadcast_buffers"
_BUFFERS_AS_THEY_ARE: dict[str, Any] = {_NEW if _NEW in signature(DistributedDataParallel).parameters else _OLD: False}


def averaging_gradients(module: nn.Module, ranks: Ranks) -> nn.Module:
    """The module, wrapped so that the backward pass averages its gradients over the ranks."""
    if ranks.group is None:
        return module
    ranks.meet()  # DistributedDataParallel compares and copies the weights
    return DistributedDataParallel(
        module, process_group=ranks.group, gradient_as_bucket_view=True, **_BUFFERS_AS_THEY_ARE
    )
