"""Diversity of anchors: nearest neighbours against all distances in float64, near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from copgen.evaluation.geometry import rank_me
from copgen.evaluation.pairs_health.diversity import diversity, nearest_others


def test_the_nearest_other_row() -> None:
    features = torch.randn(300, 7, generator=torch.Generator().manual_seed(0))
    features[17] = 3 * features[200]  # at distance 0
    unit = features.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, np.inf)
    assert nearest_others(features).numpy() == pytest.approx(distances.min(axis=1), abs=1e-6)


def test_near_duplicates_and_rank() -> None:
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(50, 16, generator=draw)
    features[30:] = features[7]  # twenty copies of a row
    found = diversity(features, duplicate=1e-3)
    assert found.near_duplicates.nonzero()[:, 0].tolist() == [7, *range(30, 50)]
    assert found.most == 16
    assert found.effective_rank == rank_me(features)
    assert diversity(features[:30], duplicate=1e-3).near_duplicates.sum() == 0


def test_a_single_anchor_has_no_neighbour() -> None:
    found = diversity(torch.ones(1, 4), duplicate=1e-3)
    assert found.effective_rank == pytest.approx(1.0)
    assert (len(found.nearest), found.most) == (0, 1)
