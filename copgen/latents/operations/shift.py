"""Statistics of the displacement of a batch: six numbers that stay on the device until they are read."""

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
            and standard deviation of z' - z over all coordinates. Standard deviations divide by n - 1; they are NaN for
            too few rows.
    """

    d: Tensor
    stats: Tensor

    def scalars(self) -> dict[str, Tensor]:
        """The statistics by name, and the 95th percentile of d as `d_p95`, each () and still on the device."""
        with torch.no_grad():
            # torch raises for a quantile of an empty tensor.
            p95 = self.d.double().quantile(0.95) if len(self.d) else self.stats.new_full((), torch.nan)
            return {**dict(zip(NAMES, self.stats.unbind(), strict=True)), "d_p95": p95}

    def numbers(self) -> dict[str, float]:
        """The statistics as Python numbers, in one transfer from the device."""
        scalars = self.scalars()
        return dict(zip(scalars, torch.stack([*scalars.values()]).tolist(), strict=True))
