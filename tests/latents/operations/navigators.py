"""Navigators and latents for the tests, and what float64 NumPy makes of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Case(NamedTuple):
    """Latents and the weights of a navigator."""

    z: Tensor
    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor


def case(
    rows: int,
    dim: int,
    width: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Case:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(shape, generator=draw, dtype=torch.float64)).to(device, dtype)

    return Case(
        normal(rows, dim),
        normal(width, dim, scale=dim**-0.5),
        normal(width, scale=0.1),
        normal(dim, width, scale=0.3 * width**-0.5),
        normal(dim, scale=0.1),
    )


def expected(given: Case, delta: float) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """z', d and the statistics by NumPy in float64, from the values as they are after rounding to their dtype."""
    z, w1, b1, w2, b2 = (x.double().cpu().numpy() for x in given)
    m = np.maximum(z @ w1.T + b1, 0) @ w2.T + b2
    d = np.sqrt((m**2).mean(axis=1))
    stats = {
        "violations": float((d > delta).sum()),
        "d_mean": d.mean(),
        "d_std": d.std(ddof=1) if len(d) > 1 else np.nan,
        "d_max": d.max(),
        "shift_mean": m.mean(),
        "shift_std": m.std(ddof=1) if m.size > 1 else np.nan,
        "d_p95": np.quantile(d, 0.95),
    }
    return z + m, d, stats
