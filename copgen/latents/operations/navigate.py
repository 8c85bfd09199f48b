"""The batched navigator: z' = z + T_z(z) with T_z(z) = W2 relu(W1 z + b1) + b2, and how far it moved (appendix B).

Legend: K rows; d coordinates; H hidden units; d_k distance of row k.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.latents.operations import reference
from copgen.latents.operations.checks import check_delta, check_navigator
from copgen.latents.operations.shift import Shift
from copgen.runtime.dispatch import NARROW, choose


@dataclass(frozen=True)
class Moved(Shift):
    """The latents z' (K, d) of the positives, and their distances from those of the anchors."""

    z_pos: Tensor


def navigate(z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, *, delta: float | None = None) -> Moved:
    """Move latents by a navigator; differentiable once, z' and d in z and the weights.

    Args:
        z: latents (K, d), floating; K may be 0. 16-bit latents are computed in float32.
        w1, b1: the first layer, (H, d) and (H,), in z's dtype, or bfloat16 with float32 latents.
        w2, b2: the second layer, (d, H) and (d,), likewise.
        delta: bound on d whose violations are counted, finite and not negative; None: no bound.

    Returns:
        `z_pos`, `d`, and `stats`, which stay on the device; `numbers()` fetches them. d and the statistics are those of
        the displacement itself, not of the rounded difference z' - z.

    Raises:
        UsageError: shapes, dtypes or devices that do not match, or an invalid delta.
    """
    check_delta(delta)
    choice = choose("navigate", z.device, z.dtype, wide=max(0, *z.shape[1:], *w1.shape[:1]) > NARROW)
    if choice.name == "native":
        # Imported here, because without the library there is nothing to register.
        from copgen.latents.operations import operators

        z_pos, d, stats = operators.navigate(z, w1, b1, w2, b2, delta)
    elif choice.name == "triton":
        from copgen.latents.operations import tensor_cores  # imports Triton

        z_pos, d, stats = tensor_cores.navigate(z, w1, b1, w2, b2, delta)
    else:
        check_navigator(z, w1, b1, w2, b2)
        if z.is_cuda and not torch.compiler.is_compiling():
            _announce(str(z.device), choice.reason)
        z_pos, d, stats = reference.navigate(z, w1, b1, w2, b2, delta)
    return Moved(d=d, stats=stats, z_pos=z_pos)


@functools.cache
def _announce(device: str, reason: str) -> None:
    warnings.warn(f"The navigator on {device} runs on the PyTorch reference: {reason}.", RuntimeWarning, stacklevel=3)
