"""The geometry of pairs: by hand where the answer is known, and against the definitions in loops over float64."""

from __future__ import annotations

import math

import pytest
import torch

from copgen.evaluation.pair_geometry import pair_geometry


def test_orthogonal_pairs_that_coincide() -> None:
    """Four pairs on the axes: aligned, 2 apart from all others, rank 4, and a loss that can be written down."""
    h = torch.eye(4, dtype=torch.float64)
    found = pair_geometry(3.0 * h, 5.0 * h, batch=4, temperature=0.5)
    assert found.dim == 4
    assert found.alignment == pytest.approx(0.0, abs=1e-15)
    assert found.uniformity == pytest.approx(-4.0)  # log exp(-2 * 2)
    assert found.rank_me == pytest.approx(4.0)
    assert found.info_nce == pytest.approx(math.log(math.exp(2.0) + 6.0) - 2.0)  # a positive, six others at cosine 0
    assert found.chance == pytest.approx(math.log(7.0))
    assert found.share_of_chance == pytest.approx(found.info_nce / found.chance)


def test_embeddings_that_are_all_alike_are_at_chance() -> None:
    h = torch.ones(6, 3)
    found = pair_geometry(h, h, batch=3, temperature=0.1)
    assert found.alignment == pytest.approx(0.0, abs=1e-12)
    assert found.rank_me == pytest.approx(1.0)
    assert found.uniformity == pytest.approx(0.0, abs=1e-12)
    assert found.info_nce == pytest.approx(math.log(5.0))
    assert found.share_of_chance == pytest.approx(1.0)


def test_opposite_pairs_are_worse_than_chance() -> None:
    h = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = pair_geometry(h, -h, batch=2, temperature=0.1)
    assert found.alignment == pytest.approx(4.0)
    assert found.share_of_chance > 1


def test_random_pairs_against_the_definitions() -> None:
    draw = torch.Generator().manual_seed(0)
    h = torch.randn(12, 5, dtype=torch.float64, generator=draw)
    h_pos = h + 0.3 * torch.randn(12, 5, dtype=torch.float64, generator=draw)
    found = pair_geometry(h, h_pos, batch=4, temperature=0.2)
    u, w = (one / one.norm(dim=1, keepdim=True) for one in (h, h_pos))
    losses = []
    for start in range(0, 12, 4):
        rows = [*u[start : start + 4], *w[start : start + 4]]
        for i, row in enumerate(rows):
            scores = [float(row @ other) / 0.2 for j, other in enumerate(rows) if j != i]
            positive = float(row @ rows[(i + 4) % 8]) / 0.2
            losses.append(math.log(sum(map(math.exp, scores))) - positive)
    assert found.info_nce == pytest.approx(sum(losses) / 24, rel=1e-12)
    assert found.alignment == pytest.approx(sum(float((a - b) @ (a - b)) for a, b in zip(u, w, strict=True)) / 12)
    others = [math.exp(-2 * float((u[i] - u[j]) @ (u[i] - u[j]))) for i in range(12) for j in range(12) if i != j]
    assert found.uniformity == pytest.approx(math.log(sum(others) / len(others)))


def test_the_loss_does_not_depend_on_the_batch_of_other_pairs() -> None:
    draw = torch.Generator().manual_seed(1)
    h, h_pos = torch.randn(8, 3, generator=draw), torch.randn(8, 3, generator=draw)
    whole = pair_geometry(h, h_pos, batch=4, temperature=0.1)
    halves = [pair_geometry(h[rows], h_pos[rows], batch=4, temperature=0.1) for rows in (slice(4), slice(4, 8))]
    assert whole.info_nce == pytest.approx(sum(half.info_nce for half in halves) / 2, rel=1e-12)
