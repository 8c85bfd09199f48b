"""The optimizers: SGD with momentum 0.9, LARS, Adam and AdamW; steps can be skipped on the device (halt.py).

LARS is in lars.py; the others are PyTorch's, fused on CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from copgen.training.lars import LARS
from copgen.training.names import OptimizerName

MOMENTUM = 0.9


def build_optimizer(
    name: OptimizerName,
    module: nn.Module,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    decay_norms: bool = True,
    maximize: bool = False,
    fused: bool | None = None,
) -> torch.optim.Optimizer:
    """An optimizer of all parameters of a module.

    Args:
        name: "sgd" (momentum 0.9), "lars" (the same), "adam" or "adamw".
        module: on the device where it is trained.
        lr: the learning rate, until a schedule sets another.
        betas: of Adam.
        weight_decay: L2 penalty; of AdamW, decoupled.
        decay_norms: for vectors and scalars too (batch norms and biases); otherwise they have no decay, and LARS does
            not adapt their rate.
        maximize: maximise the loss.
        fused: one kernel for all parameters; None: if they are on CUDA.
    """
    parameters = list(module.parameters())
    fused = fused or all(parameter.is_cuda for parameter in parameters) or None
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": weight_decay}]
    if not decay_norms:
        groups = [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ]
    if name == "lars":
        for group, adapt in zip(groups, (True, False), strict=False):
            group["adapt"] = adapt
        return LARS(groups, lr=lr, momentum=MOMENTUM, maximize=maximize)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, maximize=maximize, fused=fused)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(groups, lr=lr, betas=betas, maximize=maximize, fused=fused)
