"""The losses of a GAN against their formulas, and R1 against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from copgen.objectives.adversarial import discriminator_loss, generator_loss, gradient_penalty
from copgen.runtime.seeds import seeded


def network() -> nn.Module:
    with seeded(0, "tests/adversarial"):
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.SiLU(), nn.Linear(7, 1)).double()


def images(count: int) -> Tensor:
    with seeded(1, "tests/adversarial"):
        return torch.randn(count, 3, 2, 2, dtype=torch.float64)


def test_the_losses_are_those_of_a_sigmoid() -> None:
    real, fake = torch.tensor([0.3, -1.2]).double(), torch.tensor([2.0, 0.1, -0.4]).double()
    expected = -real.sigmoid().log().mean() - (1.0 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(generator_loss(fake), -fake.sigmoid().log().mean())


def test_without_an_opinion_they_are_at_chance() -> None:
    nothing = torch.zeros(4)
    assert float(discriminator_loss(nothing, nothing)) == pytest.approx(2 * math.log(2))
    assert float(generator_loss(nothing)) == pytest.approx(math.log(2))


def test_they_stay_finite_for_a_certain_discriminator() -> None:
    certain = torch.full((4,), 1e4)
    assert bool(discriminator_loss(-certain, certain).isfinite())
    assert bool(generator_loss(-certain).isfinite())


def test_the_penalty_is_the_squared_gradient_by_finite_differences() -> None:
    D, x, step = network(), images(3), 1e-6
    squares = []
    for image in x:
        slopes = []
        for pixel in range(image.numel()):
            moved = torch.zeros(image.numel(), dtype=torch.float64)
            moved[pixel] = step
            up, down = (D((image + sign * moved.view_as(image))[None]) for sign in (1, -1))
            slopes.append(float((up - down).detach()) / (2 * step))
        squares.append(sum(slope**2 for slope in slopes))
    x.requires_grad_()
    found = float(gradient_penalty(D(x)[:, 0], x).detach())
    assert found == pytest.approx(sum(squares) / 3, rel=1e-7)


def test_the_gradient_of_the_penalty_is_right_by_finite_differences() -> None:
    D, x = network(), images(3).requires_grad_()
    weight = next(D.parameters())

    def penalty() -> Tensor:
        return gradient_penalty(D(x)[:, 0], x)

    (gradient,) = torch.autograd.grad(penalty(), weight)
    step = 1e-6
    for place in ((0, 0), (3, 5), (6, 11)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
            values.append(float(penalty().detach()))
            with torch.no_grad():
                weight[place] -= sign * step
        assert float(gradient[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-9)
