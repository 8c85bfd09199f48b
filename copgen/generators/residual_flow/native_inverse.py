"""The native inverse of a block of linear layers (csrc/cpu/invert_silu_layers.cpp); imported where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def invert(
    y: Tensor,
    entry: Tensor | None,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    bound: Tensor,
    *,
    window: int,
    max_rounds: int,
) -> Tensor:
    """The x (N, D) with x + g(x) = y for g as in `silu_layers`, NaN where it is not reached; not differentiable.

    Args:
        y: (N, D), float32.
        entry: (1,), or None.
        weights: (outputs, inputs) of each layer.
        biases: (outputs,) of each layer.
        bound: (N,); and
        window, max_rounds: as `anderson.fixed_point` takes them.
    """
    x: Tensor = torch.ops.copgen.invert_silu_layers.default(y, entry, weights, biases, bound, window, max_rounds)
    return x


def gradient(
    cotangent: Tensor,
    x: Tensor,
    entry: Tensor | None,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    bound: Tensor,
    *,
    window: int,
    max_rounds: int,
) -> Tensor:
    """The w (N, D) with w + J^T w = cotangent (N, D) for the Jacobian J of g at x (N, D); the rest as for `invert`."""
    w: Tensor = torch.ops.copgen.invert_silu_layers_backward.default(
        cotangent, x, entry, weights, biases, bound, window, max_rounds
    )
    return w


def _shape(y: Tensor, *others: Any) -> Tensor:
    return y.new_empty(y.shape)


def _gradient_shape(cotangent: Tensor, x: Tensor, *others: Any) -> Tensor:
    return x.new_empty(x.shape)


torch.library.register_fake("copgen::invert_silu_layers", _shape)
torch.library.register_fake("copgen::invert_silu_layers_backward", _gradient_shape)
