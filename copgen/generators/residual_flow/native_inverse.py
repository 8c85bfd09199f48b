"""The native inverse of a block of linear layers; imported where the operators are."""

from __future__ import annotations

from collections.abc import Sequence

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
    """As `silu_layers.invert`."""
    x: Tensor = torch.ops.copgen.invert_silu_layers.default(y, entry, weights, biases, bound, window, max_rounds)
    return x


def _shape(
    y: Tensor,
    entry: Tensor | None,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    bound: Tensor,
    window: int,
    max_rounds: int,
) -> Tensor:
    return y.new_empty(y.shape)


torch.library.register_fake("copgen::invert_silu_layers", _shape)
