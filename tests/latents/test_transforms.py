"""Latent transforms: pure functions of (seed, index) and their weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from copgen.latents import Gaussian, Identity, LatentTransform, Optimal, Prior, Random, Steering, Walk, displacement
from copgen.latents.navigator import new_navigator
from copgen.runtime import philox

DIM = 6
WALK = Walk("edits", DIM)
WALK.directions.data.normal_(generator=torch.Generator().manual_seed(0))
TRANSFORMS: dict[str, LatentTransform] = {
    "none": Identity(),
    "gaussian": Gaussian(std=0.3, seed=1),
    "gaussian-truncated": Gaussian(std=0.3, seed=1, threshold=2.0),
    "random": Random(Prior(), seed=1),
    "steering": Steering(WALK, seed=1),
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


@pytest.mark.parametrize("name", ["gaussian", "gaussian-truncated", "random", "steering"])
def test_each_positive_of_a_stochastic_transform_has_a_stream_of_its_own(name: str) -> None:
    z = latents(range(200))
    first, second, third = (replace(TRANSFORMS[name], which=k)(z, None, range(200)) for k in range(3))  # type: ignore[type-var]
    assert torch.equal(first, TRANSFORMS[name](z, None, range(200)))
    for one, other in ((first, second), (second, third), (first, third)):
        assert float(displacement(one, other).min()) > 0.0
    moves = torch.stack([(one - z).flatten() for one in (first, second, third)])
    if name != "random":  # there the steps have -z in common
        assert float((torch.corrcoef(moves) - torch.eye(3)).abs().max()) < 0.3


@pytest.mark.parametrize(("nominal", "effective"), [(0.1, 0.088), (0.2, 0.176), (0.3, 0.264)])
def test_genreps_draw_is_narrower_than_its_name(nominal: float, effective: float) -> None:
    truncated = Gaussian(std=nominal, seed=0, threshold=2.0)
    assert truncated.effective_std == pytest.approx(effective, abs=5e-4)
    z = latents(range(20_000))
    step = truncated(z, None, range(20_000)) - z
    assert float(step.double().std()) == pytest.approx(effective, abs=1e-3)
    assert float(step.abs().max()) == pytest.approx(2 * nominal, rel=0.01)
    assert Gaussian(std=nominal, seed=0).effective_std == nominal


def test_random_is_another_draw_of_the_prior() -> None:
    prior = Prior(kind="truncated_normal", scale=0.5)
    z = prior.draw(range(5000), dim=DIM, seed=0)
    z_pos = Random(prior, seed=0)(z, None, range(5000))
    assert float(z_pos.abs().max()) <= 1.0
    assert float(z_pos.std()) == pytest.approx(prior.std, rel=0.02)
    assert float(torch.corrcoef(torch.stack((z.flatten(), z_pos.flatten())))[0, 1].abs()) < 0.03
    assert torch.equal(Random(prior, seed=0)(z + 1, None, range(5000)), z_pos)
