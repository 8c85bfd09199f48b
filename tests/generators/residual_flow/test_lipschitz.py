"""Bounded layers: their operator norm, as a dense matrix, is at most the coefficient."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from copgen.generators.residual_flow.lipschitz import LipschitzConv2d, LipschitzLinear, LipSwish, SpectralBound

LAYERS = [
    ("linear", 3, 5, 0, 0),
    ("linear", 7, 7, 0, 0),
    ("linear", 5, 1, 0, 0),
    ("conv", 1, 4, 3, 5),
    ("conv", 4, 1, 3, 6),
    ("conv", 2, 3, 3, 1),
    ("conv", 3, 6, 1, 4),
    ("conv", 5, 5, 1, 2),
]


def layer(kind: str, n_in: int, n_out: int, kernel: int, size: int, *, coeff: float, gain: float) -> SpectralBound:
    torch.manual_seed(0)
    made: SpectralBound
    if kind == "linear":
        made = LipschitzLinear(n_in, n_out, coeff=coeff)
    else:
        made = LipschitzConv2d(n_in, n_out, kernel, size=size, coeff=coeff)
    with torch.no_grad():
        made.weight.copy_(gain * torch.randn_like(made.weight))
    return made.double()


def dense(bound: SpectralBound, n_in: int, size: int) -> Tensor:
    """The matrix of the layer without its bias: one column per input coordinate."""
    shape = (n_in, size, size) if size else (n_in,)
    dim = torch.Size(shape).numel()
    with torch.no_grad():
        base = bound(torch.zeros(1, *shape, dtype=torch.float64))
        columns: Tensor = bound(torch.eye(dim, dtype=torch.float64).view(dim, *shape)) - base
    return columns.flatten(1).t()


@pytest.mark.parametrize("coeff", [0.5, 0.98])
@pytest.mark.parametrize(("kind", "n_in", "n_out", "kernel", "size"), LAYERS)
def test_a_large_weight_is_brought_down_to_the_bound(
    kind: str, n_in: int, n_out: int, kernel: int, size: int, coeff: float
) -> None:
    bound = layer(kind, n_in, n_out, kernel, size, coeff=coeff, gain=3.0)
    bound.power_iterate(3000)
    norm = float(torch.linalg.svdvals(dense(bound, n_in, size))[0])
    assert norm == pytest.approx(coeff, rel=1e-9)
    assert norm <= coeff * (1 + 1e-9)


@pytest.mark.parametrize(("kind", "n_in", "n_out", "kernel", "size"), LAYERS)
def test_a_small_weight_stays_as_it_is(kind: str, n_in: int, n_out: int, kernel: int, size: int) -> None:
    bound = layer(kind, n_in, n_out, kernel, size, coeff=0.98, gain=0.01)
    bound.power_iterate(50)
    assert torch.equal(bound.bounded_weight(), bound.weight)


@pytest.mark.parametrize(("kind", "n_in", "n_out", "kernel", "size"), LAYERS)
def test_sigma_never_exceeds_the_true_norm(kind: str, n_in: int, n_out: int, kernel: int, size: int) -> None:
    bound = layer(kind, n_in, n_out, kernel, size, coeff=1e6, gain=3.0)
    norm = float(torch.linalg.svdvals(dense(bound, n_in, size))[0])
    estimates = []
    for _ in range(6):
        bound.power_iterate(1)
        estimates.append(float(bound.sigma().detach()))
    assert all(0.0 <= estimate <= norm * (1 + 1e-12) for estimate in estimates)
    assert estimates == sorted(estimates) or estimates[-1] == pytest.approx(norm, rel=1e-9)


def test_the_two_directions_are_transposed() -> None:
    for kind, n_in, n_out, kernel, size in LAYERS:
        bound = layer(kind, n_in, n_out, kernel, size, coeff=0.9, gain=1.0)
        u, v = torch.randn_like(bound.u), torch.randn_like(bound.v)
        forward = torch.dot(u, bound.apply_weight(bound.weight, v))
        backward = torch.dot(bound.apply_transposed(bound.weight, u), v)
        torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_the_bounded_weight_is_differentiable(gain: float) -> None:
    bound = layer("linear", 3, 4, 0, 0, coeff=0.9, gain=gain)
    bound.power_iterate(5)

    def bounded(weight: Tensor) -> Tensor:
        sigma = torch.dot(bound.u, weight @ bound.v)
        return weight / torch.clamp_min(sigma / bound.coeff, 1.0)

    assert torch.equal(bounded(bound.weight), bound.bounded_weight())
    assert torch.autograd.gradcheck(bounded, (bound.weight.detach().requires_grad_(),))
    assert bound.bounded_weight().requires_grad


def test_power_iteration_touches_only_the_vectors() -> None:
    bound = layer("conv", 2, 3, 3, 4, coeff=0.9, gain=1.0)
    before = copy.deepcopy(bound.state_dict())
    bound.power_iterate(3)
    changed = {name for name, value in bound.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"u", "v"}
    for vector in (bound.u, bound.v):
        assert float(vector.norm()) == pytest.approx(1.0, abs=1e-12)


def test_folding_fixes_the_weight_until_training() -> None:
    bound = layer("linear", 3, 4, 0, 0, coeff=0.9, gain=3.0)
    before = bound.bounded_weight().detach()
    names = set(bound.state_dict())
    bound.fold()
    bound.power_iterate(50)
    assert torch.equal(bound.bounded_weight(), before)
    assert set(bound.state_dict()) == names == {"weight", "bias", "u", "v"}
    assert not torch.equal(bound.train().bounded_weight(), before)


def test_folding_again_takes_the_new_vectors() -> None:
    bound = layer("linear", 3, 4, 0, 0, coeff=0.9, gain=3.0)
    bound.fold()
    bound.power_iterate(50)
    unfolded = bound.weight / (bound.sigma() / bound.coeff)
    bound.fold()
    torch.testing.assert_close(bound.bounded_weight(), unfolded.detach())


def test_a_folded_weight_moves_with_its_layer() -> None:
    bound = layer("linear", 3, 4, 0, 0, coeff=0.9, gain=3.0)
    bound.fold()
    assert bound.float().bounded_weight().dtype == torch.float32
    assert copy.deepcopy(bound).to("meta").bounded_weight().device.type == "meta"


@pytest.mark.parametrize("beta", [-20.0, -3.0, 0.0, 0.5, 3.0, 20.0])
def test_lipswish_has_a_slope_of_at_most_one(beta: float) -> None:
    activation = LipSwish().double()
    with torch.no_grad():
        activation.beta.fill_(beta)
    scale = float(nn.functional.softplus(activation.beta.detach()))
    x = (torch.linspace(-60.0, 60.0, 100_001, dtype=torch.float64) / scale).requires_grad_()
    (slope,) = torch.autograd.grad(activation(x).sum(), x)
    assert float(slope.abs().max()) <= 1.0
    # The bound is not slack: the swish has a slope of 1.0998 at its steepest, whatever beta is.
    assert float(slope.max()) == pytest.approx(1.09983932 / 1.1, abs=1e-6)
    assert activation.beta.shape == (1,)


def test_loading_other_weights_ends_what_was_folded() -> None:
    bound, other = LipschitzLinear(4, 3, coeff=0.9), LipschitzLinear(4, 3, coeff=0.9)
    bound.fold()
    bound.load_state_dict(other.state_dict())
    torch.testing.assert_close(bound.bounded_weight(), other.bounded_weight(), rtol=0.0, atol=0.0)
