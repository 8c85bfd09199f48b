"""What a navigator does to the prior: displacements with known shares, and the statistics of the authors' navigator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from copgen.latents.anatomy import anatomy, shares
from copgen.latents.foreign_navigator import read_foreign_navigator
from copgen.latents.prior import Prior
from copgen.runtime.errors import UsageError
from tests.shared_data import shared


def draws(n: int = 20_000, dim: int = 12) -> Tensor:
    return Prior().draw(range(n), dim=dim, seed=0).double()


def test_a_shift_is_constant() -> None:
    z = draws()
    constant, linear, nonlinear = shares(z, torch.full_like(z, 0.3))
    assert constant == pytest.approx(1.0, abs=1e-12)
    assert [linear, nonlinear] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_a_matrix_is_linear() -> None:
    z = draws()
    matrix = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    constant, linear, nonlinear = shares(z, z @ matrix)
    assert constant < 1e-3  # the mean of the draws is not quite zero
    assert linear == pytest.approx(1.0, abs=1e-3)
    assert nonlinear == pytest.approx(0.0, abs=1e-12)


def test_a_rectifier_splits_as_calculus_says() -> None:
    """For z ~ N(0, 1): E max(z, 0) = 1/sqrt(2 pi), its slope is 1/2, and its second moment 1/2."""
    z = draws(200_000, 2)
    constant, linear, nonlinear = shares(z, z.clamp(min=0))
    assert constant == pytest.approx(1 / math.pi, abs=0.01)
    assert linear == pytest.approx(0.5, abs=0.01)
    assert nonlinear == pytest.approx(0.5 - 1 / math.pi, abs=0.01)
    assert constant + linear + nonlinear == pytest.approx(1.0, abs=1e-12)


def test_few_draws_do_not_make_noise_linear() -> None:
    """Noise independent of z is nonlinear, although a fit of 200 slopes to 400 draws explains half of it."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 199, dtype=torch.float64, generator=generator)
    T = torch.randn(400, 199, dtype=torch.float64, generator=generator)
    constant, linear, nonlinear = shares(z, T)
    assert nonlinear == pytest.approx(1.0, abs=0.03)
    assert abs(linear) < 0.03
    assert constant < 0.01


def test_no_movement_has_no_shares() -> None:
    z = draws(100, 3)
    assert shares(z, torch.zeros_like(z)) == (0.0, 0.0, 0.0)


def test_the_figures_of_a_shift() -> None:
    z = draws(1000, 4)
    found = anatomy(z.float(), torch.full_like(z, 0.5).float())
    assert found.draws == 1000
    assert [found.mean, found.std] == pytest.approx([0.5, 0.0])
    assert found.d_mean == pytest.approx(0.5)
    assert all(value == pytest.approx(0.5) for value in found.d_quantiles.values())
    cosine = torch.cosine_similarity(z, z + 0.5)
    assert found.cosine_mean == pytest.approx(float(cosine.mean()), abs=1e-7)
    assert found.cosine_least == pytest.approx(float(cosine.min()), abs=1e-6)


def test_quantiles_grow() -> None:
    z = draws(1000, 4)
    values = list(anatomy(z, 0.1 * z).d_quantiles.values())
    assert values == sorted(values)
    assert values[0] < values[-1]


@pytest.mark.parametrize("n", [2, 25])
def test_too_few_draws_are_refused(n: int) -> None:
    with pytest.raises(UsageError, match=f"^{n} draws.* 12 coordinates.* 26"):
        anatomy(draws(n), draws(n))


def test_the_authors_navigator_is_what_was_published_of_it() -> None:
    navigator = read_foreign_navigator(shared("data/cop-gen/w_COPGen_pretained.pth")).double()
    z = Prior(kind="truncated_normal", threshold=2.0).draw(range(20_000), dim=120, seed=0).double()
    with torch.no_grad():
        found = anatomy(z, navigator.displace(z))
    assert found.std == pytest.approx(0.230, abs=0.002)
    assert found.mean == pytest.approx(0.001, abs=0.003)
    assert found.constant == pytest.approx(0.44, abs=0.01)
    assert found.linear == pytest.approx(0.41, abs=0.01)
    assert found.nonlinear == pytest.approx(0.15, abs=0.01)
    assert found.cosine_mean == pytest.approx(0.968, abs=0.002)
