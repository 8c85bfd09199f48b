"""Small flows for tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from copgen.generators.residual_flow import FlowConfig, ResidualFlow
from copgen.generators.residual_flow.inversion import FixedPoint

FINE = FixedPoint(tolerance=1e-14, max_rounds=5000)
CONFIGS = {
    "convolutional, two scales": FlowConfig(image_size=4, blocks=(2, 1), width=3, linear_blocks=0, coeff=0.9),
    "multi-scale with linear blocks": FlowConfig(
        channels=2, image_size=4, blocks=(1, 2), width=3, linear_blocks=2, linear_width=5, coeff=0.9, logit_alpha=0.05
    ),
    "linear blocks only": FlowConfig(image_size=3, blocks=(0,), linear_blocks=3, linear_width=6, coeff=0.97),
}
MNIST = FlowConfig(image_size=28, blocks=(2, 2, 2), width=4, linear_blocks=1, linear_width=8)


def small_flow(config: FlowConfig, *, rule: FixedPoint = FINE, gain: float = 2.0) -> ResidualFlow:
    """A flow in float64 and evaluation mode, with weights at their bounds and activation norms that do something."""
    torch.manual_seed(0)
    flow = ResidualFlow(config, rule=rule).double().eval()
    with torch.no_grad():
        for layer in flow.lipschitz_layers():
            layer.weight.mul_(gain)
        for name, parameter in flow.named_parameters():
            if parameter.dim() == 1 and ("nnet" not in name or name.endswith("beta")):
                parameter.add_(0.1 * torch.randn_like(parameter))
    flow.power_iterate(300)
    return flow


def images(config: FlowConfig, n: int) -> Tensor:
    """Pixels in (0, 1), float64."""
    torch.manual_seed(1)
    return 0.02 + 0.96 * torch.rand(n, config.channels, config.image_size, config.image_size, dtype=torch.float64)


def dense_jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """dy/dx as a matrix (y's coordinates, x's coordinates), row by row."""
    x = x.detach().requires_grad_()
    y = function(x).flatten()
    return torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0].flatten() for one in y])
