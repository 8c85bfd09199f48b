"""g of a residual block whose parameters are fixed, with as few passes over memory as possible.

LipSwish(x) = x sigmoid(b x) / 1.1 = silu(b x) / (1.1 b) with b = softplus(beta): the factors are folded into the layers
before and after, which leaves one silu between two layers. The result equals that of the block's layers up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from copgen.generators.residual_flow import silu_layers
from copgen.generators.residual_flow.lipschitz import LIPSWISH_SLOPE, LipschitzLinear, LipSwish, SpectralBound
from copgen.runtime.dispatch import choose


class FoldedNet(nn.Module):
    """x (N, ...) -> g(x), for alternating layers and LipSwish; it starts with either, and ends with a layer."""

    entry: Tensor | None

    @torch.no_grad()
    def __init__(self, steps: Iterable[nn.Module]) -> None:
        super().__init__()
        modules = list(steps)
        factors = [F.softplus(step.beta) for step in modules if isinstance(step, LipSwish)]
        layers = [step for step in modules if isinstance(step, SpectralBound)]
        leads = len(factors) == len(layers)
        self.register_buffer("entry", factors[0] if leads else None, persistent=False)
        self._operators: list[silu_layers.Operator] = [layer.operator for layer in layers]
        self._is_linear = all(isinstance(layer, LipschitzLinear) for layer in layers)
        before = factors if leads else [None, *factors]
        for k, (layer, factor, following) in enumerate(zip(layers, before, [*before[1:], None], strict=True)):
            weight, bias = layer.bounded_weight(), layer.bias
            weight = weight if factor is None else weight / (LIPSWISH_SLOPE * factor)
            if following is not None:
                weight, bias = weight * following, None if bias is None else bias * following
            self.register_buffer(f"weight{k}", weight, persistent=False)
            self.register_buffer(f"bias{k}", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return silu_layers.apply(x, *self._layers(), self._operators)

    def invert(self, y: Tensor, bound: Tensor, *, window: int, max_rounds: int) -> Tensor | None:
        """x with x + g(x) = y by the native operator, NaN where it fails; None if the operator does not support it.

        Args:
            y: (N, ...).
            bound: (N,); this and
            window, max_rounds: see `anderson.fixed_point`.
        """
        if not self._is_native_for(y):
            return None
        from copgen.generators.residual_flow import native_inverse  # needs the native library

        return native_inverse.invert(y, self._layers(), bound, window=window, max_rounds=max_rounds)

    def pull_back(self, x: Tensor, c: Tensor, bound: Tensor, *, window: int, max_rounds: int) -> Tensor | None:
        """The w with w + J^T w = c for g's Jacobian at x, all (N, ...); as `invert` otherwise."""
        if not self._is_native_for(x):
            return None
        from copgen.generators.residual_flow import native_inverse

        return native_inverse.gradient(c, x, self._layers(), bound, window=window, max_rounds=max_rounds)

    def _is_native_for(self, x: Tensor) -> bool:
        return self._is_linear and choose("flow inverse", x.device, x.dtype).name == "native"

    def _layers(self) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        places = range(len(self._operators))
        weights, biases = ([getattr(self, f"{kind}{k}") for k in places] for kind in ("weight", "bias"))
        return self.entry, weights, biases
