"""Layers with silu between them: g(x) = A_n(silu(... A_1(silu(entry x)))), or A_1 of x itself without an entry.

Their inverse, x with x + g(x) = y, and its gradient:

native  `native_inverse`, for linear layers in float32 on an x86 CPU with AVX2: a row has the same bits
        in any batch and on any number of threads
torch   anything else, by `anderson.fixed_point`: matrix products and convolutions may sum a row in another order when
        the number of rows changes

Legend: N items of D numbers; each layer is operator(x, weight, bias).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Operator = Callable[..., Tensor]


def apply(
    x: Tensor,
    entry: Tensor | None,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    operators: Sequence[Operator],
) -> Tensor:
    """g(x), of layers of any kind."""
    overwrite = not torch.is_grad_enabled()
    if entry is not None:
        x = F.silu(x * entry, inplace=overwrite)
    for k, (operator, weight, bias) in enumerate(zip(operators, weights, biases, strict=True)):
        if k:
            x = F.silu(x, inplace=overwrite)
        x = operator(x, weight, bias)
    return x
