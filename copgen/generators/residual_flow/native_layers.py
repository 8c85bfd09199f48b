"""Linear layers with silu between them by the native operator, a few rows at a time; imported where it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def silu_layers(x: Tensor, entry: Tensor | None, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """x (N, inputs) -> (N, outputs), float32, not differentiable. A row has the same bits in any batch.

    Args:
        entry: (1,); silu(entry x) is what goes into the first layer, or x itself without.
        weights: (outputs, inputs) of each layer.
        biases: (outputs,) of each layer.
    """
    result: Tensor = torch.ops.copgen.silu_layers.default(x, entry, weights, biases)
    return result


def _shape(x: Tensor, entry: Tensor | None, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    return x.new_empty((x.shape[0], weights[-1].shape[0]))


torch.library.register_fake("copgen::silu_layers", _shape)
