"""Precision, recall, density and coverage: against all pairs of distances in float64, and against prdc."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen.evaluation.generation import manifolds as module
from copgen.evaluation.generation.manifolds import Manifolds, manifolds, radii
from copgen.runtime.errors import UsageError


def two_sets(real: int = 61, generated: int = 47, dim: int = 6) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(2)
    return torch.randn(real, dim, generator=made) + 20.0, 0.8 * torch.randn(generated, dim, generator=made) + 20.3


def reference(real: Tensor, generated: Tensor, k: int, k_of_density: int) -> Manifolds:
    """The definitions, image by image."""
    x, y = real.double().numpy(), generated.double().numpy()

    def radius(features: np.ndarray, at: int, nearest: int) -> float:
        others = np.delete(features, at, axis=0)
        return float(np.sort(np.linalg.norm(others - features[at], axis=1))[nearest - 1])

    def within(point: np.ndarray, features: np.ndarray, reach: list[float]) -> list[bool]:
        return [bool(np.linalg.norm(point - one) <= far) for one, far in zip(features, reach, strict=True)]

    of_x, of_y = [radius(x, at, k) for at in range(len(x))], [radius(y, at, k) for at in range(len(y))]
    wide = [radius(x, at, k_of_density) for at in range(len(x))]
    held = np.array([within(point, x, wide) for point in y])
    return Manifolds(
        precision=float(np.mean([any(within(point, x, of_x)) for point in y])),
        recall=float(np.mean([any(within(point, y, of_y)) for point in x])),
        density=float(held.sum() / (k_of_density * len(y))),
        coverage=float(held.any(0).mean()),
    )


@pytest.mark.parametrize("block", [4, 16, 1000])
@pytest.mark.parametrize(("k", "k_of_density"), [(3, 5), (1, 2), (5, 3)])
def test_they_are_the_definitions(k: int, k_of_density: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    real, generated = two_sets()
    found, expected = (
        manifolds(real, generated, k=k, k_of_density=k_of_density),
        reference(*two_sets(), k, k_of_density),
    )
    assert vars(found) == pytest.approx(vars(expected))
    assert 0.0 < found.recall < 1.0


def test_they_are_prdcs() -> None:
    theirs: Any = pytest.importorskip("prdc")
    real, generated = two_sets()
    expected = theirs.compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=5)
    assert vars(manifolds(real, generated, k=5, k_of_density=5)) == pytest.approx(expected)


def test_equal_sets() -> None:
    real, _ = two_sets()
    found = manifolds(real, real.clone())
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density >= 1.0


def test_sets_far_apart() -> None:
    real, generated = two_sets()
    assert vars(manifolds(real, generated + 100.0)) == dict.fromkeys(
        ("precision", "recall", "density", "coverage"), 0.0
    )


def test_one_mode_of_two() -> None:
    """Good images of half the classes: all precise, half recalled and covered."""
    made = torch.Generator().manual_seed(5)
    real = torch.cat((torch.randn(50, 3, generator=made), torch.randn(50, 3, generator=made) + 100.0))
    found = manifolds(real, real[:50] + 1e-6)
    assert found.precision == 1.0
    assert found.recall == found.coverage == 0.5


def test_copies_among_real_images_are_neighbours() -> None:
    squared = radii(torch.tensor([[0.0], [0.0], [3.0], [7.0]], dtype=torch.float64), (1, 2))
    assert squared[0].tolist() == [0.0, 0.0, 9.0, 16.0]
    assert squared[1].tolist() == [9.0, 9.0, 9.0, 49.0]


def test_too_few_images() -> None:
    with pytest.raises(UsageError, match="5"):
        manifolds(torch.zeros(5, 2), torch.zeros(50, 2))
