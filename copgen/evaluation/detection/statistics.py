"""Precise batch norm (Wu and Johnson 2021): running statistics as means over many batches, after training.

A running average follows the last few batches only, which are small in detection. detectron2 does this before it tests
(`TEST.PRECISE_BN`, in the configurations of MoCo and of the authors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def renew_statistics(network: nn.Module, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
    """Replace the running statistics of all batch norms by their means over the batches.

    Args:
        network: in training mode; its weights do not change.
        batches: what `forward` takes.
        forward: passes one of them through the network.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    try:
        for number, batch in enumerate(batches, start=1):
            for norm in norms:
                norm.momentum = 1.0 / number
            forward(batch)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
