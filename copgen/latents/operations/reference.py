"""The operations in plain PyTorch, on any device: the reference of the native operators, and the fallback.

Same signatures as the operators in csrc/operators.cpp. 16-bit latents, and 16-bit weights with float32 latents, are
computed in float32.

Legend: K rows; d coordinates; H hidden units; m = z' - z; d_k = ||m_k|| / sqrt(d).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.runtime import philox


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the computation and of d."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def navigate(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """z' = z + relu(z W1^T + b1) W2^T + b2 (K, d), d (K,), stats (6,)."""
    wide_z, w1, b1, w2, b2 = (x.to(accumulator(z.dtype)) for x in (z, w1, b1, w2, b2))
    with torch.autocast(z.device.type, enabled=False):  # autocast does not apply, as in the native operators
        m = F.linear(F.linear(wide_z, w1, b1).relu(), w2, b2)
    d = distance(m)
    return (wide_z + m).to(z.dtype), d, statistics(m, d, delta)


def constrain(
    z: Tensor, z_pos: Tensor, delta: float | None, mode: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """z' with m shrunk to delta (K, d) or empty, d, violates (K,), row order (K,) or empty, stats (6,)."""
    wide_z, wide_pos = (x.to(accumulator(z.dtype)) for x in (z, z_pos))
    m = wide_pos - wide_z
    d = distance(m)
    violates = torch.zeros_like(d, dtype=torch.bool) if delta is None else d > delta
    projected, order = z.new_empty(0), torch.empty(0, dtype=torch.int64, device=z.device)
    if mode == "project" and delta is not None:
        # For rows within delta, d is replaced before the division, since the gradient of 0 / 0 is NaN.
        share = delta / torch.where(violates, d, 1.0)
        projected = torch.where(violates[:, None], wide_z + share[:, None] * m, wide_pos).to(z.dtype)
    if mode == "reject":
        order = torch.argsort(violates.to(torch.uint8), stable=True)
    return projected, d, violates, order, statistics(m, d, delta)


def draw_latents(rows: Tensor, seed: int, stream: str, dim: int, scale: float, threshold: float | None) -> Tensor:
    """scale times a normal, or a normal truncated to |value| <= threshold, (K, d) float64."""
    if threshold is None:
        return philox.normal(seed, rows, dim, stream=stream, device=rows.device) * scale
    return philox.truncated_normal(seed, rows, dim, stream=stream, threshold=threshold, device=rows.device) * scale


def distance(m: Tensor) -> Tensor:
    """d (K,) of displacements (K, d)."""
    rms: Tensor = m.norm(dim=1) / m.shape[1] ** 0.5
    return rms


@torch.no_grad()
def statistics(m: Tensor, d: Tensor, delta: float | None) -> Tensor:
    """The six statistics of `shift.NAMES`, float64."""
    m, d = m.double(), d.detach()
    violations = d.new_zeros((), dtype=torch.float64) if delta is None else (d > delta).sum().double()
    d = d.double()
    largest = d.max() if len(d) else d.new_full((), math.nan)
    return torch.stack((violations, d.mean(), _deviation(d), largest, m.mean(), _deviation(m)))


def _deviation(x: Tensor) -> Tensor:
    # torch warns about fewer than two numbers, for which NaN is the intended result.
    return x.std() if x.numel() > 1 else x.new_full((), math.nan)
