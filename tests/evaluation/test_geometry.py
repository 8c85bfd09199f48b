"""Effective rank, alignment and uniformity, against their definitions and at their ends."""

from __future__ import annotations

import math

import pytest
import torch

from copgen.evaluation.geometry import alignment, rank_me, uniformity


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank_of_equal_directions_is_their_number(rank: int) -> None:
    features = torch.zeros(40, 8, dtype=torch.float64)
    for row in range(40):
        features[row, row % rank] = 5.0 * (-1) ** row if rank % 2 else 5.0
    counts = torch.bincount(torch.arange(40) % rank).double().sqrt()
    shares = counts / counts.sum()
    expected = math.exp(-float((shares * shares.log()).sum()))
    assert rank_me(features) == pytest.approx(expected, rel=1e-9)
    assert rank_me(features) == pytest.approx(rank, rel=0.01)


def test_the_effective_rank_does_not_depend_on_scale_and_rotation() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(50, 6, dtype=torch.float64, generator=draw) * torch.tensor([5.0, 3, 1, 1, 0.1, 0.01])
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=draw)).Q
    assert rank_me(7.0 * features @ turn) == pytest.approx(rank_me(features), rel=1e-9)
    assert 1 < rank_me(features) < 5


def test_alignment_is_the_mean_squared_distance_of_unit_vectors() -> None:
    h = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    assert alignment(h, 5.0 * h) == pytest.approx(0.0)
    assert alignment(h, -h) == pytest.approx(4.0)
    assert alignment(h, torch.tensor([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(1.0)


def test_uniformity_is_the_published_potential() -> None:
    h = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    unit = h / h.norm(dim=1, keepdim=True)
    expected = torch.pdist(unit).square().mul(-2).exp().mean().log()
    assert uniformity(h) == pytest.approx(float(expected), rel=1e-9)
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0.0, abs=1e-6)
