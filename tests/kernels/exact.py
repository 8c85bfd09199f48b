"""The errors of the kernels' loss and gradients relative to float64.

The embeddings of a comparison are rounded to the kernels' dtype first, so that both sides get the same numbers. The
upstream gradient is a power of two that scales the gradients to about 1, like a loss scale: float16 could not hold
those of a small temperature otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Errors:
    """Relative errors: of the losses and of all gradients together, in the Euclidean norm."""

    loss: float
    gradient: float


def embeddings(
    k: int, d: int, *, dtype: torch.dtype = torch.float32, near: float = 0.7, unit: bool = True, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Anchors (K, D), and positives that differ from them by `near` times noise of their own size; unit rows or not."""
    generator = torch.Generator().manual_seed(seed + 1000 * k + d)
    h = torch.randn(k, d, generator=generator, dtype=torch.float64)
    h_pos = h + near * torch.randn(k, d, generator=generator, dtype=torch.float64)
    rows = (F.normalize(h, dim=1), F.normalize(h_pos, dim=1)) if unit else (h, h_pos)
    return rows[0].to(DEVICE, dtype), rows[1].to(DEVICE, dtype)


def errors(loss: Loss, exact: Loss, inputs: Sequence[Tensor], *, upstream: Tensor | None = None) -> Errors:
    """The errors of `loss` and its gradients relative to `exact` in float64, for the same inputs.

    Args:
        loss: the function to test.
        exact: the same in float64.
        inputs: floating-point tensors; gradients are compared for all.
        upstream: upstream gradients of the losses; ones if None. Multiplied by the power of two.
    """
    wide = [x.detach().double().requires_grad_() for x in inputs]
    expected = exact(*wide)
    upstream = torch.ones_like(expected) if upstream is None else upstream.double()
    gradients = torch.autograd.grad(expected, wide, upstream)
    largest = max(g.abs().amax().item() for g in gradients)
    power = 2.0 ** -round(math.log2(largest)) if largest > 0 else 1.0
    own = [x.detach().requires_grad_() for x in inputs]
    found = loss(*own)
    own_gradients = torch.autograd.grad(found, own, (power * upstream).to(found.dtype))
    assert all(g.dtype == x.dtype and g.shape == x.shape for g, x in zip(own_gradients, own, strict=True))
    return Errors(
        loss=_relative([found.detach()], [expected.detach()]),
        gradient=_relative(own_gradients, [power * g for g in gradients]),
    )


def _relative(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    got, exact = (torch.cat([x.double().flatten() for x in tensors]) for tensors in (found, expected))
    size = exact.norm().item()
    return float((got - exact).norm().item()) / (size if size > 0 else 1.0)
