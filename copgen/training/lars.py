"""LARS (You et al. 2017): SGD with momentum whose rate for each weight tensor is in proportion to the tensor's norm.

With weights w, their gradient g, decay beta and trust coefficient eta, each tensor's step is that of SGD along

    eta ||w|| / ||g + beta w||  (g + beta w)        as in SimCLR's and BYOL's code; with the factor 1 where a norm is 0.

The published forms differ in the denominator: the paper has ||g|| + beta ||w||.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

TRUST = 1e-3


class LARS(torch.optim.Optimizer):
    """LARS; a step is skipped on the device where `found_inf` is not 0, as in PyTorch's fused optimizers.

    Args:
        params: parameters, or groups; a group with `adapt` False is trained as by SGD.
        lr: learning rate.
        momentum: of the velocity, without Nesterov's or damping.
        weight_decay: beta.
        trust: eta; SimCLR, BYOL: 1e-3.
        maximize: maximise the loss.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = TRUST,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "maximize": maximize,
            "adapt": True,
            "fused": True,  # halt.py: it reads `found_inf`
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._step(weights, group)
        return loss

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        sign = -1.0 if group["maximize"] else 1.0
        directions = torch._foreach_mul([weight.grad for weight in weights if weight.grad is not None], sign)
        torch._foreach_add_(directions, weights, alpha=group["weight_decay"])
        if group["adapt"]:
            weight_norms, norms = torch._foreach_norm(weights), torch._foreach_norm(directions)
            rates = [
                torch.where((weight_norm > 0) & (norm > 0), group["trust"] * weight_norm / norm, 1.0)
                for weight_norm, norm in zip(weight_norms, norms, strict=True)
            ]
            torch._foreach_mul_(directions, rates)
        velocities = [self._velocity(weight) for weight in weights]
        new_velocities = torch._foreach_mul(velocities, group["momentum"])
        torch._foreach_add_(new_velocities, directions)
        steps = torch._foreach_mul(new_velocities, -group["lr"])
        if self.found_inf is None:
            torch._foreach_copy_(velocities, new_velocities)
            torch._foreach_add_(weights, steps)
            return
        valid = self.found_inf == 0
        for weight, velocity, new, step in zip(weights, velocities, new_velocities, steps, strict=True):
            velocity.copy_(torch.where(valid, new, velocity))
            weight.add_(torch.where(valid, step, 0.0))

    def _velocity(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        velocity: Tensor = state["momentum_buffer"]
        return velocity
