"""d(z, z') against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from copgen.latents import displacement


@pytest.mark.parametrize(("k", "dim"), [(1, 1), (5, 3), (16, 120)])
def test_it_is_the_rms_displacement_per_coordinate(k: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    z, z_pos = rng.normal(size=(k, dim)), rng.normal(size=(k, dim))
    expected = np.sqrt(((z_pos - z) ** 2).mean(1))
    found = displacement(torch.from_numpy(z), torch.from_numpy(z_pos))
    assert found.shape == (k,)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


def test_a_gaussian_step_has_its_standard_deviation_as_distance() -> None:
    torch.manual_seed(0)
    z = torch.zeros(200, 5000, dtype=torch.float64)
    d = displacement(z, z + 0.3 * torch.randn_like(z))
    # d^2 is 0.09 chi^2 / dim, so d scatters by 0.3 / sqrt(2 dim).
    assert float((d - 0.3).abs().max()) < 5 * 0.3 / np.sqrt(2 * 5000)


def test_it_is_differentiable_and_quiet_where_nothing_moves() -> None:
    z = torch.randn(3, 4, dtype=torch.float64)
    z_pos = (z + 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda z_pos: displacement(z, z_pos), (z_pos,))
    still = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(displacement(z, still).sum(), still)
    assert bool(torch.isfinite(gradient).all())
