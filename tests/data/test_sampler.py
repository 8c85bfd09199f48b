"""The epoch sampler: every item once an epoch, in an order of its own, whichever batches ask for it."""

from __future__ import annotations

import pytest
import torch

from copgen.data.sampler import EpochSampler


@pytest.mark.parametrize(("n", "batch"), [(80, 16), (80, 24), (7, 7), (7, 3), (5, 2), (1, 1)])
def test_every_epoch_takes_every_item_once_in_batches_of_any_size(n: int, batch: int) -> None:
    order = EpochSampler(n, seed=0)
    items = order[range(4 * n)]
    for epoch in items.view(4, n):
        assert sorted(epoch.tolist()) == list(range(n))
    stepwise = EpochSampler(n, seed=0)
    starts = range(0, 4 * n, batch)
    parts = [stepwise[range(start, min(start + batch, 4 * n))] for start in starts]
    assert torch.equal(torch.cat(parts), items)
    backwards = [stepwise[range(start, min(start + batch, 4 * n))] for start in reversed(starts)]
    assert torch.equal(torch.cat(backwards[::-1]), items)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    epochs = [
        EpochSampler(50, seed)[range(50 * epoch, 50 * epoch + 50)].tolist() for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert list(range(50)) not in epochs
