"""The epoch sampler: maps the sample indices of a run to items of the data.

Sample index s is item s mod n of a random permutation drawn for epoch s // n, so it is a function of (seed, epoch, i):
it does not depend on the batch size, the number of ranks, or where a run was resumed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.runtime import philox


class EpochSampler:
    """Items of n in a new random order in each epoch.

    Args:
        n: number of items.
        seed: of the run.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, samples: range) -> Tensor:
        """The items (K,), int64, of a range of sample indices; the range may reach into the next epoch."""
        first, last = samples.start // self.n, (samples.stop - 1) // self.n
        orders = {epoch: self._order(epoch) for epoch in range(first, last + 1)}
        self._orders = orders  # replaced, never changed: several threads may ask
        places = ((order, epoch * self.n) for epoch, order in orders.items())
        return torch.cat([order[max(0, samples.start - at) : samples.stop - at] for order, at in places])

    def _order(self, epoch: int) -> Tensor:
        known = self._orders
        return (
            known[epoch] if epoch in known else philox.permutation(self.seed, self.n, stream=f"pretrain/order/{epoch}")
        )
