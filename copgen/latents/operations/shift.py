"""How far a batch was moved: six numbers that stay on the device until somebody asks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NAMES = ("violations", "d_mean", "d_std", "d_max", "shift_mean", "shift_std")


@dataclass(frozen=True)
class Shift:
    """The distances of a batch, and their statistics.

    Args:
        d: d_k = ||z'_k - z_k||_2 / sqrt(dim z), (K,).
        stats: float64 (6,), on d's device: the count of d_k > delta; mean, standard deviation and maximum of d; mean
            and standard deviation of z' - z over all coordinates. Deviations have n - 1 below; what too few rows leave
            undefined is NaN.
    """

    d: Tensor
    stats: Tensor

    def numbers(self) -> dict[str, float]:
        """The statistics by name, and the 95th percentile of d as `d_p95`; one transfer from the device."""
        with torch.no_grad():
            # A quantile of nothing is an error in torch.
            p95 = self.d.double().quantile(0.95) if len(self.d) else self.stats.new_full((), torch.nan)
            *stats, d_p95 = torch.cat((self.stats, p95.reshape(1))).tolist()
        return {**dict(zip(NAMES, stats, strict=True)), "d_p95": d_p95}
