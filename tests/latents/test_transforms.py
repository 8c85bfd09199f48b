"""Latent transforms: pure functions of (seed, index) and their weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from copgen.latents import Gaussian, Identity, LatentTransform, Optimal, Prior, displacement
from copgen.latents.navigator import new_navigator
from copgen.runtime import philox

DIM = 6
TRANSFORMS: dict[str, LatentTransform] = {
    "none": Identity(),
    "gaussian": Gaussian(std=0.3, seed=1),
    "optimal": Optimal(new_navigator(DIM, prior=Prior(), seed=0)),
}


def latents(indices: range | list[int]) -> Tensor:
    return Prior().draw(indices, dim=DIM, seed=0)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_row_does_not_depend_on_the_batch(name: str) -> None:
    transform = TRANSFORMS[name]
    z = latents(range(30))
    whole = transform(z, None, range(30))
    assert whole.shape == z.shape
    assert whole.dtype == z.dtype
    assert not whole.requires_grad
    chosen = [29, 3, 17]
    # A batch of another size sums in another order.
    torch.testing.assert_close(transform(z[chosen], None, chosen), whole[chosen], rtol=1e-5, atol=1e-6)
    assert torch.equal(transform(z, None, range(30)), whole)
    assert torch.equal(z, latents(range(30)))


def test_none_moves_nothing() -> None:
    z = latents(range(3))
    assert torch.equal(Identity()(z, None, range(3)), z)


@pytest.mark.parametrize("std", [0.1, 2.0])
def test_gaussian_adds_normal_noise(std: float) -> None:
    z = latents(range(5000))
    noise = Gaussian(std=std, seed=1)(z, None, range(5000)) - z
    drawn = philox.normal(1, range(5000), DIM, stream="latents/gaussian").float()
    torch.testing.assert_close(noise, std * drawn, atol=1e-6, rtol=0.0)
    assert float(noise.double().std()) == pytest.approx(std, rel=0.02)
    correlation = torch.corrcoef(torch.cat((z, noise), 1).T)[:DIM, DIM:]
    assert float(correlation.abs().max()) < 5 / 5000**0.5


def test_gaussian_of_no_spread_moves_nothing() -> None:
    z = latents(range(3))
    assert torch.equal(Gaussian(std=0.0, seed=1)(z, None, range(3)), z)


def test_gaussian_depends_on_seed_and_index() -> None:
    z = torch.zeros(2, DIM)
    steps = {tuple(row.tolist()) for seed in (0, 1) for row in Gaussian(std=1.0, seed=seed)(z, None, [4, 5])}
    assert len(steps) == 4


def test_gaussian_keeps_the_type_of_z() -> None:
    assert Gaussian(std=1.0, seed=0)(torch.zeros(2, DIM, dtype=torch.float64), None, range(2)).dtype == torch.float64


def test_optimal_is_the_navigator_with_its_residual() -> None:
    navigator = new_navigator(DIM, prior=Prior(), seed=0)
    z = latents(range(4))
    with torch.no_grad():
        expected = z + navigator.displace(z)
    # The products are the reference's, but may be summed in another order.
    torch.testing.assert_close(Optimal(navigator)(z, None, range(4)), expected, rtol=1e-6, atol=1e-6)
    assert float(displacement(z, expected).min()) > 0.0
