"""The inverse of x + g(x): right, item by item, with the gradient of the unrolled iteration and none of its memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from copgen.generators.residual_flow.folded import FoldedNet
from copgen.generators.residual_flow.inversion import FixedPoint, invert_block
from copgen.generators.residual_flow.lipschitz import LipschitzConv2d, LipschitzLinear, LipSwish, SpectralBound
from copgen.runtime import philox
from copgen.runtime.dispatch import choose
from copgen.runtime.errors import DataError, ExitCode

FINE = FixedPoint(tolerance=1e-14, max_rounds=5000)


def contraction(coeff: float = 0.9, *, conv: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module]
    if conv:
        first, last = LipschitzConv2d(2, 4, 3, size=4, coeff=coeff), LipschitzConv2d(4, 2, 3, size=4, coeff=coeff)
        layers = [first, LipSwish(), last]
    else:
        layers = [LipschitzLinear(5, 8, coeff=coeff), LipSwish(), LipschitzLinear(8, 5, coeff=coeff)]
    for layer in layers:
        if isinstance(layer, SpectralBound):
            with torch.no_grad():
                layer.weight.mul_(4.0)
            layer.power_iterate(300)
    return nn.Sequential(*layers).double().requires_grad_(False)


def points(n: int, *, conv: bool = False, spread: float = 2.0) -> Tensor:
    shape = (2, 4, 4) if conv else (5,)
    return spread * philox.normal(0, range(n), math.prod(shape), stream="x").view(n, *shape)


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("coeff", [0.3, 0.9, 0.98])
def test_the_inverse_is_right(coeff: float, conv: bool) -> None:
    g, x = contraction(coeff, conv=conv), points(6, conv=conv)
    back = invert_block(g, x + g(x), FINE)
    # The last step is below 8 eps (1 + max |y|), and what is missing is at most L / (1 - L) times the last step.
    lipschitz = coeff**2
    bound = 8 * 2.0**-52 * (1 + float((x + g(x)).abs().max())) * max(1.0, 5 * lipschitz / (1 - lipschitz))
    assert float((back - x).abs().max()) <= bound < 1e-10


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_the_tolerance_decides_how_right(tolerance: float) -> None:
    g, x = contraction(), points(64)
    y = x + g(x)
    error = (invert_block(g, y, FixedPoint(tolerance=tolerance)) - x).abs().amax(1)
    lipschitz = 0.81
    assert bool((error <= math.sqrt(5) * lipschitz / (1 - lipschitz) * tolerance * (1 + y.abs().amax(1))).all())
    assert float(error.max()) > 1e-3 * tolerance


def test_float32_reaches_the_default_rule() -> None:
    g = contraction(0.98).float()
    x = points(32).float()
    back = invert_block(g, x + g(x), FixedPoint())
    assert float((back - x).abs().max()) < 1e-4


@pytest.mark.parametrize("conv", [False, True])
def test_an_item_does_not_depend_on_its_neighbours(conv: bool) -> None:
    g = contraction(0.95, conv=conv)
    y = points(8, conv=conv)
    # The neighbours differ, and take more rounds or fewer. A product in PyTorch with another number of rows may sum in
    # another order, and nothing else of it depends on them.
    near, far = y.clone(), y.clone()
    near[1:], far[1:] = 1e-3 * y[1:], 1e3 * y[1:]
    rule = FixedPoint(tolerance=1e-5)
    alone = invert_block(g, y, rule)[0]
    for others in (near, far, y[:1]):
        torch.testing.assert_close(invert_block(g, others, rule)[0], alone, rtol=1e-11, atol=1e-11)
    assert torch.equal(invert_block(g, y, rule)[0], alone)


def test_an_item_of_linear_layers_in_float32_has_the_same_bits_beside_any_neighbours() -> None:
    if (choice := choose("flow inverse", torch.device("cpu"), torch.float32)).name != "native":
        pytest.skip(choice.reason)
    g, y = FoldedNet(contraction(0.95)).float(), points(70).float()
    alone = invert_block(g, y[:1], FixedPoint())[0]
    for others in (y, 1e-3 * y, 1e3 * y):
        for count in (2, 3, 4, 7, 70):
            batch = torch.cat((y[:1], others[1:count]))
            assert torch.equal(invert_block(g, batch, FixedPoint())[0], alone)


def gradient_of(g: nn.Module, y: Tensor, cotangent: Tensor, rule: FixedPoint = FINE) -> Tensor:
    y = y.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(invert_block(g, y, rule), y, cotangent)
    return gradient


def test_an_item_s_gradient_does_not_depend_on_its_neighbours() -> None:
    g, y = contraction(0.95), points(8)
    c = philox.normal(1, range(8), 5, stream="c")
    small, large = c.clone(), c.clone()
    small[1:], large[1:] = 1e-8 * c[1:], 1e8 * c[1:]
    rule = FixedPoint(tolerance=1e-5)
    alone = gradient_of(g, y, c, rule)[0]
    assert torch.equal(gradient_of(g, y, small, rule)[0], alone)
    assert torch.equal(gradient_of(g, y, large, rule)[0], alone)


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("coeff", [0.3, 0.95])
def test_the_gradient_is_that_of_the_unrolled_iteration(coeff: float, conv: bool) -> None:
    g = contraction(coeff, conv=conv)
    y = points(3, conv=conv)
    c = points(6, conv=conv)[3:]
    start = y.clone().requires_grad_()
    x = start
    for _ in range(300):
        x = start - g(x)
    (expected,) = torch.autograd.grad(x, start, c)
    torch.testing.assert_close(gradient_of(g, y, c), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("conv", [False, True])
def test_gradcheck(conv: bool) -> None:
    g = contraction(0.9, conv=conv)
    y = points(2, conv=conv)[:, :1].expand(2, 2, 4, 4).clone() if conv else points(2)
    assert torch.autograd.gradcheck(lambda y: invert_block(g, y, FINE), (y.requires_grad_(),))


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-6, 1.0, 1e6])
def test_the_gradient_is_as_right_for_small_losses_as_for_large_ones(scale: float) -> None:
    """A mean over a batch makes cotangents small; the stopping rule must not take them for converged."""
    g, y = contraction(0.95), points(4)
    c = philox.normal(1, range(4), 5, stream="c")
    expected = gradient_of(g, y, c)
    found = gradient_of(g, y, scale * c, FixedPoint(tolerance=1e-6)) / scale
    lipschitz = 0.95**2
    bound = 1e-6 * math.sqrt(5) * lipschitz / (1 - lipschitz) * float(c.abs().max())
    assert float((found - expected).abs().max()) <= bound


def test_a_cotangent_of_zero_gives_zero() -> None:
    g, y = contraction(), points(3)
    assert torch.equal(gradient_of(g, y, torch.zeros_like(y)), torch.zeros_like(y))


def counted(g: nn.Module, y: Tensor) -> tuple[int, int]:
    """How often g ran, and how many tensors forward and backward kept for a gradient."""
    calls = kept = 0

    def counting(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        result: Tensor = g(x)
        return result

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += 1
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = y.detach().requires_grad_()
        torch.autograd.backward(invert_block(counting, y, FINE).sum())
    return calls, kept


def test_the_memory_does_not_grow_with_the_rounds() -> None:
    y = points(3)
    few, many = counted(contraction(0.2), y), counted(contraction(0.97), y)
    assert many[0] > 5 * few[0]
    assert many[1] == few[1] > 0


def test_second_derivatives_are_refused_rather_than_wrong() -> None:
    g = contraction()
    y = points(2).requires_grad_()
    (gradient,) = torch.autograd.grad(invert_block(g, y, FINE).square().sum(), y, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(gradient.sum() + y.sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "g",
    [
        pytest.param(lambda x: 3.0 * x, id="runs away"),
        pytest.param(lambda x: -1.5 * x, id="runs away in one direction"),
        pytest.param(lambda x: 100.0 * x**3, id="runs away fast"),
        pytest.param(lambda x: 3.0 * torch.sin(5.0 * x), id="wanders"),
        pytest.param(lambda x: torch.full_like(x, math.nan), id="not a number"),
    ],
)
def test_what_is_no_contraction_is_a_data_error(g: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    y = points(3).to(dtype)
    with pytest.raises(DataError, match="did not converge") as caught:
        invert_block(g, y, FixedPoint())
    assert caught.value.code is ExitCode.DATA


def test_where_plain_iteration_never_ends_and_the_accelerated_does_the_inverse_is_right() -> None:
    y = points(3)
    torch.testing.assert_close(invert_block(lambda x: x, y, FINE), y / 2, rtol=1e-12, atol=1e-12)
    with pytest.raises(DataError, match="did not converge"):
        invert_block(lambda x: x, y, FixedPoint(window=0))


def test_one_item_that_runs_away_is_enough() -> None:
    with pytest.raises(DataError, match="did not converge"):
        invert_block(lambda x: x.square(), torch.tensor([[0.1], [50.0]]), FixedPoint())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_does_not_hold_up_the_others(value: float) -> None:
    g, y = contraction(), points(4)
    expected = invert_block(g, y, FINE)
    y[2, 1] = value
    calls = 0

    def counting(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        result: Tensor = g(x)
        return result

    found = invert_block(counting, y, FINE)
    assert calls < 500
    assert not bool(torch.isfinite(found[2]).all())
    torch.testing.assert_close(found[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-12, atol=1e-12)


def test_an_empty_batch_stays_empty() -> None:
    assert invert_block(contraction(), points(0), FINE).shape == (0, 5)
