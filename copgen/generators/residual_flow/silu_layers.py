"""Layers with silu between them: y = A_n(silu(... A_1(silu(entry x)))), or A_1 of x itself where there is no entry.

native  csrc/cpu/silu_layers.cpp, for linear layers in float32 on an x86 CPU with AVX2, where no gradient is asked for:
        a row has the same bits in any batch and on any number of threads
torch   anything else: a product may sum a row in another order where there are more rows or fewer; a convolution too

Legend: N items; each layer is operator(x, weight, bias).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.runtime.native import native, product_instructions

Operator = Callable[..., Tensor]


def linear(x: Tensor, entry: Tensor | None, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The result (N, outputs) of linear layers, as it is chosen here.

    Args:
        x: (N, inputs).
        entry: (1,), or None.
        weights: (outputs, inputs) of each layer.
        biases: (outputs,) of each layer.
    """
    if not torch.is_grad_enabled() and why_plain(x.device, x.dtype) is None:
        from copgen.generators.residual_flow.native_layers import silu_layers  # only where the library is

        return silu_layers(x, entry, weights, biases)
    return plain(x, entry, weights, biases, [F.linear] * len(weights))


def plain(
    x: Tensor,
    entry: Tensor | None,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    operators: Sequence[Operator],
) -> Tensor:
    """The result of any layers, in PyTorch: the reference."""
    overwrite = not torch.is_grad_enabled()
    if entry is not None:
        x = F.silu(x * entry, inplace=overwrite)
    for k, (operator, weight, bias) in enumerate(zip(operators, weights, biases, strict=True)):
        if k:
            x = F.silu(x, inplace=overwrite)
        x = operator(x, weight, bias)
    return x


def why_plain(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why linear layers are PyTorch's where no gradient is asked for; None where they are the native operator's."""
    if device.type != "cpu":
        return "the native operator for a flow's layers is for the CPU"
    if dtype != torch.float32:
        return "the native operator for a flow's layers is for float32"
    if not native().usable:
        return native().reason
    return None if product_instructions() else "native products are not built for this processor"
