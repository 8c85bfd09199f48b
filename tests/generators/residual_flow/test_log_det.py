"""log |det(I + J)|: exact against the dense Jacobian; the series unbiased in its value and in its gradient."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from copgen.generators.residual_flow.lipschitz import LipschitzConv2d, LipschitzLinear, LipSwish, SpectralBound
from copgen.generators.residual_flow.log_det import SeriesLength, exact_log_det, poisson_length, series_log_det
from copgen.runtime import philox
from tests.generators.residual_flow.flows import dense_jacobian

D = 3


def contraction(coeff: float = 0.8, *, dim: int = D) -> nn.Sequential:
    """g with a Lipschitz constant of at most coeff^2, and not far below."""
    torch.manual_seed(1)
    g = nn.Sequential(LipschitzLinear(dim, 5, coeff=coeff), LipSwish(), LipschitzLinear(5, dim, coeff=coeff)).double()
    for layer in g:
        if isinstance(layer, SpectralBound):
            with torch.no_grad():
                layer.weight.mul_(3.0)
            layer.power_iterate(300)
    return g


def convolution() -> nn.Sequential:
    torch.manual_seed(1)
    first, last = (LipschitzConv2d(n_in, n_out, 3, size=3, coeff=0.9) for n_in, n_out in ((2, 3), (3, 2)))
    return nn.Sequential(first, LipSwish(), last).double()


def points(n: int, *shape: int) -> Tensor:
    return philox.normal(0, range(n), math.prod(shape), stream="x").view(n, *shape)


@pytest.mark.parametrize("conv", [False, True])
def test_exact_agrees_with_the_dense_jacobian(conv: bool) -> None:
    g = convolution() if conv else contraction()
    x = points(4, 2, 3, 3) if conv else points(4, D)
    y, log_det = exact_log_det(g, x)
    assert torch.equal(y, g(x))
    for k in range(len(x)):
        jacobian = dense_jacobian(lambda one: g(one[None])[0], x[k])
        _, expected = torch.linalg.slogdet(torch.eye(len(jacobian), dtype=torch.float64) + jacobian)
        torch.testing.assert_close(log_det[k].detach(), expected, rtol=1e-12, atol=1e-12)


def test_exact_is_differentiable_in_x_and_in_the_weights() -> None:
    g = contraction()
    x = points(2, D).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: exact_log_det(g, x)[1], (x,))
    _, log_det = exact_log_det(g, x.detach())
    gradients = torch.autograd.grad(log_det.sum(), list(g.parameters()), allow_unused=True)
    layer = g[0]
    assert isinstance(layer, LipschitzLinear)
    weight = layer.weight
    step = 1e-6
    with torch.no_grad():
        weight[0, 0] += step
        above = exact_log_det(g, x)[1].sum()
        weight[0, 0] -= 2 * step
        below = exact_log_det(g, x)[1].sum()
        weight[0, 0] += step
    assert gradients[0] is not None
    assert float(gradients[0][0, 0]) == pytest.approx(float(above - below) / (2 * step), rel=1e-6)


def poisson(n: int, rate: float) -> float:
    return math.exp(-rate) * rate**n / math.factorial(n)


def survival(n: int, rate: float) -> float:
    """P(Poisson(rate) >= n), summed from its end."""
    return sum(poisson(m, rate) for m in range(n + 60, n - 1, -1))


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("exact", [0, 1, 2, 10])
def test_weights_are_inverse_survival_probabilities(exact: int, rate: float) -> None:
    length = SeriesLength(exact=exact, extra=3, rate=rate)
    assert length.terms == exact + 3
    for k in range(1, length.terms + 1):
        assert length.weight(k) == pytest.approx(1.0 / survival(max(k - exact, 0), rate), rel=1e-12)
        assert (length.weight(k) == 1.0) == (k <= exact)


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.5])
def test_poisson_length_is_the_quantile(rate: float) -> None:
    grid = 20_000
    extras = [poisson_length((i + 0.5) / grid, exact=2, rate=rate).extra for i in range(grid)]
    for n in range(8):
        assert extras.count(n) / grid == pytest.approx(poisson(n, rate), abs=1.0 / grid)
    assert poisson_length(1.0 - 2.0**-33, exact=2, rate=rate).extra < 30


def all_probes() -> Tensor:
    """All 2^D vectors of signs: the mean over them is the expectation, without an error of its own."""
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=D)), dtype=torch.float64)


LONGEST = 14


@pytest.mark.parametrize("exact", [0, 1, 2])
@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_the_series_is_unbiased_in_value_and_gradient(exact: int, rate: float) -> None:
    coeff = 0.5
    g = contraction(coeff)
    parameters = list(g.parameters())
    probes = all_probes()
    x = points(1, D).requires_grad_()
    _, expected = exact_log_det(g, x)
    expected_gradients = torch.autograd.grad(expected.sum(), [x, *parameters], allow_unused=True)

    mean = torch.zeros(())
    for extra in range(LONGEST + 1):
        length = SeriesLength(exact=exact, extra=extra, rate=rate)
        y, estimate = series_log_det(g, x.expand(len(probes), D), probes, length)
        torch.testing.assert_close(y, g(x).expand_as(y), rtol=1e-14, atol=1e-14)
        mean = mean + poisson(extra, rate) * estimate.mean()
    # Left out are the lengths beyond LONGEST: the share of term k that they carry, times a bound on tr(J^k).
    tail = 0.0
    for k in range(1, 60):
        share = survival(LONGEST + 1, rate) / survival(max(k - exact, 0), rate)
        tail += D * coeff ** (2 * k) * min(1.0, share)
    assert tail < 1e-6
    assert float(mean.detach()) == pytest.approx(float(expected.detach()), abs=tail + 1e-12)
    gradients = torch.autograd.grad(mean, [x, *parameters], allow_unused=True)
    compared = 0
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        assert (gradient is None) == (reference is None or not bool(reference.any()))
        if gradient is not None and reference is not None:
            torch.testing.assert_close(gradient, reference, rtol=0.0, atol=100 * tail + 1e-10)
            assert float(reference.abs().max()) > 1e-3
            compared += 1
    assert compared >= 4


def test_drawn_probes_and_lengths_are_unbiased_within_their_standard_error() -> None:
    g = contraction()
    x = points(1, D)
    expected = float(exact_log_det(g, x)[1].detach())
    draws, batch = 400, 50
    means = []
    for draw in range(draws):
        probes = philox.signs(0, range(draw * batch, (draw + 1) * batch), D, stream="probes").double()
        u = float(philox.uniform(0, [draw], 1, stream="length"))
        with torch.no_grad():
            y, estimate = series_log_det(g, x.expand(batch, D), probes, poisson_length(u, exact=1, rate=1.0))
        assert not y.requires_grad
        assert not estimate.requires_grad
        means.append(float(estimate.mean()))
    found = torch.tensor(means, dtype=torch.float64)
    error = float(found.std()) / math.sqrt(draws)
    assert abs(float(found.mean()) - expected) < 4 * error
    assert error < 0.05 * abs(expected)


def test_a_fixed_length_is_biased_by_less_with_every_doubling() -> None:
    g = contraction(0.9)
    x = points(1, D)
    expected = float(exact_log_det(g, x)[1].detach())
    biases = []
    for terms in (1, 2, 4, 8, 16):
        length = SeriesLength(exact=terms, extra=0, rate=1.0)
        with torch.no_grad():
            estimate = series_log_det(g, x.expand(8, D), all_probes(), length)[1].mean()
        biases.append(abs(float(estimate) - expected))
        assert biases[-1] <= D * sum(0.81**k / k for k in range(terms + 1, 400))
    assert biases == sorted(biases, reverse=True)
    assert biases[0] > 100 * biases[-1]


@pytest.mark.parametrize("exact", [True, False])
def test_without_gradients_no_graph_is_left(exact: bool) -> None:
    g = contraction()
    x = points(2, D)
    with torch.no_grad():
        length = SeriesLength(exact=2, extra=0, rate=1.0)
        y, log_det = exact_log_det(g, x) if exact else series_log_det(g, x, torch.ones_like(x), length)
    assert not y.requires_grad
    assert not log_det.requires_grad
    assert not x.requires_grad


def test_the_series_length_costs_no_graph() -> None:
    """Backward memory: the number of tensors that are kept does not grow with the terms."""

    def kept(terms: int) -> int:
        g = contraction()
        count = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal count
            count += 1
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            length = SeriesLength(exact=terms, extra=0, rate=1.0)
            series_log_det(g, points(2, D), torch.ones(2, D, dtype=torch.float64), length)
        return count

    assert kept(2) == kept(20) > 0
