"""The optimizers: SGD with momentum 0.9 and Adam, fused on CUDA so that steps can be skipped there (halt.py)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

MOMENTUM = 0.9


def build_optimizer(
    name: Literal["sgd", "adam"],
    module: nn.Module,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    maximize: bool = False,
    fused: bool | None = None,
) -> torch.optim.Optimizer:
    """An optimizer of all parameters of a module.

    Args:
        name: "sgd" (momentum 0.9) or "adam".
        module: on the device where it is trained.
        lr: the learning rate, until a schedule sets another.
        betas: of Adam.
        weight_decay: L2 penalty on all parameters.
        maximize: maximise the loss.
        fused: one kernel for all parameters; None: if they are on CUDA.
    """
    parameters = list(module.parameters())
    fused = fused or all(parameter.is_cuda for parameter in parameters) or None
    if name == "adam":
        return torch.optim.Adam(
            parameters, lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize, fused=fused
        )
    return torch.optim.SGD(
        parameters, lr=lr, momentum=MOMENTUM, weight_decay=weight_decay, maximize=maximize, fused=fused
    )
