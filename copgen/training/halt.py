"""A flag on the device that stops learning there, before the CPU knows: no weight is updated any more once it is set.

An update that must not happen (its loss is not finite, or d(z, z') went beyond delta) is prevented without a wait for
the device. Whoever reads the metrics finds out later which update that was.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class Halt:
    """0 on the device, and 1 from the first update on that must not happen."""

    def __init__(self, device: torch.device) -> None:
        self.flag = torch.zeros((), device=device)

    def where(self, condition: Tensor) -> None:
        """Leave all weights as they are from now on, if the condition () holds."""
        self.flag.copy_(torch.maximum(self.flag, condition.to(self.flag.dtype)))

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """A step of the optimizer, unless halted; a fused one reads the flag on the device, others on the CPU."""
        if all(group.get("fused") for group in optimizer.param_groups):
            cast("Any", optimizer).found_inf = self.flag
            optimizer.step()
        elif not self.flag:
            optimizer.step()
