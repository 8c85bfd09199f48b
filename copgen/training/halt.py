"""A flag on the device that halts training there before the CPU knows: once set, all weight updates are skipped.

An update that must not happen (the loss is not finite, or d(z, z') exceeds delta) is skipped without synchronising with
the device. The metrics, read later, say which update that was.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class Halt:
    """0 on the device, and 1 from the first update that must not happen."""

    def __init__(self, device: torch.device) -> None:
        self.flag = torch.zeros((), device=device)

    def where(self, condition: Tensor) -> None:
        """Skip all weight updates from now on, if the condition () holds."""
        self.flag.copy_(torch.maximum(self.flag, condition.to(self.flag.dtype)))

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """A step of the optimizer, unless halted; a fused optimizer reads the flag on the device, others on the CPU."""
        if all(group.get("fused") for group in optimizer.param_groups):
            cast("Any", optimizer).found_inf = self.flag
            optimizer.step()
        elif not self.flag:
            optimizer.step()
