"""The native inverse of a block of linear layers (csrc/cpu/invert_silu_layers.cpp).

Legend: N items of D numbers; `layers` are (entry (1,) or None, weights (outputs, inputs), biases (outputs,)) of g as in
`silu_layers`; the bound (N,), window and max_rounds are those of `anderson.fixed_point`. All in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from copgen.runtime.native import native

Layers = tuple[Tensor | None, Sequence[Tensor], Sequence[Tensor]]


def invert(y: Tensor, layers: Layers, bound: Tensor, *, window: int, max_rounds: int) -> Tensor:
    """The x with x + g(x) = y, (N, D) like y; NaN where it does not converge. Not differentiable."""
    x: Tensor = torch.ops.copgen.invert_silu_layers.default(y, *layers, bound, window, max_rounds)
    return x


def gradient(c: Tensor, x: Tensor, layers: Layers, bound: Tensor, *, window: int, max_rounds: int) -> Tensor:
    """The w with w + J^T w = c for the Jacobian J of g at x, all (N, D); NaN where it does not converge."""
    w: Tensor = torch.ops.copgen.invert_silu_layers_backward.default(c, x, *layers, bound, window, max_rounds)
    return w


def _shape(first: Tensor, *others: Any) -> Tensor:
    return first.new_empty(first.shape)


if native().usable:
    torch.library.register_fake("copgen::invert_silu_layers", _shape)
    torch.library.register_fake("copgen::invert_silu_layers_backward", _shape)
