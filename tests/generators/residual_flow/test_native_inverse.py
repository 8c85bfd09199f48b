"""The inverse of layers with silu between them, and its gradient.

The native ones are as near to float64, and a row has the same bits in any batch.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.generators.residual_flow import anderson, silu_layers
from copgen.runtime import philox
from copgen.runtime.dispatch import choose

CPU = torch.device("cpu")
CHOICE = choose("flow inverse", CPU, torch.float32)
needs_native = pytest.mark.skipif(CHOICE.name != "native", reason=CHOICE.reason)

N = 130
WIDTHS = [(64, 128, 128, 64), (9, 6, 6, 9), (33, 17, 70, 33), (5, 5), (300, 257, 300)]
Layers = tuple[Tensor | None, list[Tensor], list[Tensor]]


def case(widths: tuple[int, ...], *, enters: bool = True) -> tuple[Tensor, Layers]:
    """y, of very different sizes, so that items take different numbers of rounds; entry or None, weights, biases."""

    def normal(rows: int, columns: int, name: str) -> Tensor:
        return philox.normal(0, range(rows), columns, stream=name)

    steps = list(enumerate(itertools.pairwise(widths)))
    weights = [normal(b, a, f"w{k}") for k, (a, b) in steps]
    # Below 1: silu rises by 1.1 at most.
    weights = [0.85 * w / torch.linalg.matrix_norm(w, 2) for w in weights]
    biases = [normal(1, b, f"b{k}")[0].float() for k, (_, b) in steps]
    sizes = 10.0 ** philox.uniform(0, range(N), 1, stream="sizes").mul(3.0).sub(1.5)
    entry = torch.tensor([0.9]) if enters else None
    return (sizes * normal(N, widths[0], "y")).float(), (entry, [w.float() for w in weights], biases)


def g(x: Tensor, layers: Layers) -> Tensor:
    return silu_layers.apply(x, *layers, [F.linear] * len(layers[1]))


def doubled(layers: Layers) -> Layers:
    entry, weights, biases = layers
    twice = [[one.double() for one in several] for several in (weights, biases)]
    return None if entry is None else entry.double(), twice[0], twice[1]


def bound_of(y: Tensor, tolerance: float = 1e-6) -> Tensor:
    return tolerance * (1.0 + y.abs().amax(1))


def native(y: Tensor, layers: Layers, bound: Tensor | None = None, *, window: int = 3, max_rounds: int = 500) -> Tensor:
    assert CHOICE.name == "native"
    from copgen.generators.residual_flow.native_inverse import invert

    return invert(y, layers, bound_of(y) if bound is None else bound, window=window, max_rounds=max_rounds)


def gradient(
    c: Tensor, x: Tensor, layers: Layers, *, window: int = 3, max_rounds: int = 500, tolerance: float = 1e-6
) -> Tensor:
    assert CHOICE.name == "native"
    from copgen.generators.residual_flow.native_inverse import gradient

    bound = tolerance * c.abs().amax(1)
    return gradient(c, x, layers, bound, window=window, max_rounds=max_rounds)


def once(y: Tensor, layers: Layers) -> Tensor:
    """y - g(y): with no bound, the first step is the last."""
    return native(y, layers, torch.full_like(y[:, 0], torch.inf), window=0, max_rounds=1)


@torch.no_grad()
def plain(y: Tensor, layers: Layers, tolerance: float = 1e-6, *, window: int = 3) -> Tensor:
    remember = anderson.PlainMemory
    x = anderson.fixed_point(
        lambda x, rows: y[rows] - g(x, layers),
        y,
        bound_of(y, tolerance),
        window=window,
        max_rounds=5000,
        remember=remember,
    )
    assert x is not None
    return x


@needs_native
@pytest.mark.parametrize("enters", [False, True])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_one_step_is_as_near_to_float64_as_pytorch_s(widths: tuple[int, ...], enters: bool) -> None:
    y, layers = case(widths, enters=enters)
    exact = y.double() - g(y.double(), doubled(layers))
    found, reference = once(y, layers), y - g(y, layers)
    errors = [float((one - exact).norm() / exact.norm()) for one in (found, reference)]
    assert errors[0] < 2 * errors[1] + 1e-7
    entry, weights, biases = layers
    turned = [weight.t().contiguous().t() for weight in weights]
    assert torch.equal(once(y.t().contiguous().t(), (entry, turned, biases)), found)


@needs_native
@pytest.mark.parametrize("window", [0, 1, 3])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_it_is_as_near_to_float64_as_pytorch_s(widths: tuple[int, ...], window: int) -> None:
    y, layers = case(widths)
    exact = plain(y.double(), doubled(layers), 1e-13)
    errors = [
        float(((one - exact).abs().amax(1) / bound_of(y)).max())
        for one in (native(y, layers, window=window), plain(y, layers, window=window))
    ]
    assert errors[0] < 2 * errors[1] + 1.0


@needs_native
@pytest.mark.parametrize("enters", [False, True])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_the_gradient_is_that_of_the_jacobian(widths: tuple[int, ...], enters: bool) -> None:
    x, layers = case(widths, enters=enters)
    c = x.flip(0)

    differentiate: Any = torch.autograd.functional.jacobian  # untyped in torch

    def jacobian(row: Tensor) -> Tensor:
        found: Tensor = differentiate(lambda at: g(at[None], doubled(layers))[0], row)
        return found

    exact = torch.stack(
        [
            torch.linalg.solve(torch.eye(len(row), dtype=row.dtype) + jacobian(row).T, cotangent)
            for row, cotangent in zip(x[:60].double(), c[:60].double(), strict=True)
        ]
    )
    for window in (0, 3):
        found = gradient(c[:60], x[:60], layers, window=window)
        assert float(((found - exact).abs().amax(1) / c[:60].abs().amax(1)).max()) < 1e-5
    loose = gradient(c[:60], x[:60], layers, tolerance=1e-2)
    assert float(((loose - exact).abs().amax(1) / c[:60].abs().amax(1)).max()) > 1e-5


@needs_native
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_a_row_has_the_same_bits_in_any_batch(widths: tuple[int, ...]) -> None:
    y, layers = case(widths)
    y = y.repeat(4, 1) * torch.linspace(0.5, 1.0, 4 * N)[:, None]  # more than a thread has slopes for at a time
    whole, slopes = native(y, layers), gradient(y.flip(1), y, layers)
    for begin, end in [(0, 1), (0, 7), (0, 48), (17, 400), (65, 130), (519, 520), (4, 4)]:
        assert torch.equal(native(y[begin:end], layers), whole[begin:end])
        assert torch.equal(gradient(y[begin:end].flip(1), y[begin:end], layers), slopes[begin:end])
    assert torch.equal(native(y.flip(0), layers).flip(0), whole)
    assert torch.equal(gradient(y.flip(0).flip(1), y.flip(0), layers).flip(0), slopes)


@needs_native
def test_the_number_of_threads_does_not_change_a_bit() -> None:
    y, layers = case((64, 128, 128, 64))
    threads, y = torch.get_num_threads(), y.repeat(4, 1)
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(torch.cat((native(y, layers), gradient(y, y, layers))))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@needs_native
def test_silu_is_right_from_end_to_end() -> None:
    values = torch.tensor([0.0, 1e-30, 1.0, 20.0, 87.0, 90.0, 1e4, 1e30])
    y = torch.cat((values, -values))[:, None]
    identity: Layers = (torch.ones(1), [torch.ones(1, 1)], [torch.zeros(1)])
    off = (once(y, identity).double() - (y.double() - F.silu(y.double()))).abs()
    assert bool((off <= 2 * torch.finfo(torch.float32).eps * y.double().abs()).all())


@needs_native
def test_a_row_that_is_not_finite_or_does_not_converge_is_alone() -> None:
    y, layers = case((5, 5))
    y = y[:60]
    whole, others = native(y, layers), [k for k in range(60) if k != 2]
    for value in (float("nan"), float("inf")):
        y[2, 1] = value
        found = native(y, layers)
        assert not bool(torch.isfinite(found[2]).all())
        assert torch.equal(found[others], whole[others])
    expands: Layers = (torch.tensor([1.0]), [torch.full((1, 1), 3.0)], [torch.zeros(1)])
    found = native(torch.tensor([[0.0], [5.0]]), expands, window=0)
    assert found[0] == 0.0
    assert bool(found[1].isnan())
    assert bool(native(y[:2], layers, max_rounds=2).isnan().all())
    c = torch.ones(60, 5)
    assert bool(gradient(c[:2], whole[:2], layers, max_rounds=2).isnan().all())
    assert not bool(torch.isfinite(gradient(c, y, layers)[2]).all())
    assert bool(torch.isfinite(gradient(c, y, layers)[others]).all())


@needs_native
def test_autocast_has_no_say() -> None:
    y, layers = case((33, 17, 70, 33))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = native(y, layers)
    assert torch.equal(inside, native(y, layers))


@needs_native
def test_the_operator_is_registered_as_it_should_be() -> None:
    y, layers = case((5, 5))
    native(y, layers)
    torch.library.opcheck(torch.ops.copgen.invert_silu_layers.default, (y, *layers, bound_of(y), 3, 100))
    backward = torch.ops.copgen.invert_silu_layers_backward.default
    torch.library.opcheck(backward, (y, y, *layers, bound_of(y), 3, 100))


@needs_native
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: torch.zeros(9)}, "^y .*float32 matrix"),
        ({0: torch.zeros(4, 9, dtype=torch.float64)}, "^y .*float32 matrix"),
        ({0: torch.zeros(4, 8)}, "weight 0 .*9.*8"),
        ({1: torch.ones(2)}, "^entry "),
        ({2: []}, "0 weights and 2 biases"),
        ({2: [torch.zeros(6, 9), torch.zeros(9)]}, "weight 1 .*float32 matrix"),
        ({2: [torch.zeros(6, 9), torch.zeros(9, 5)]}, "weight 1 .*5.*6"),
        ({2: [torch.zeros(6, 9), torch.zeros(2, 6)], 3: [torch.zeros(6), torch.zeros(2)]}, "layers .*2"),
        ({3: [torch.zeros(6)]}, "2 weights and 1 biases"),
        ({3: [torch.zeros(6), torch.zeros(3)]}, "bias 1 .*vector of 9"),
        ({4: torch.zeros(3)}, "^bound .*row"),
        ({4: torch.zeros(N, dtype=torch.float64)}, "^bound .*float32.*row"),
        ({5: -1}, "window is -1"),
        ({6: 0}, "max_rounds .*0"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(changes: dict[int, Any], message: str) -> None:
    y, layers = case((9, 6, 9))
    arguments: list[Any] = [y, *layers, bound_of(y), 3, 100]
    for place, value in changes.items():
        arguments[place] = value
    with pytest.raises(ValueError, match=message):
        torch.ops.copgen.invert_silu_layers.default(*arguments)
    with pytest.raises(ValueError, match=message):
        torch.ops.copgen.invert_silu_layers_backward.default(arguments[0], *arguments)
    with pytest.raises(ValueError, match=r"^c .*float32 matrix"):
        torch.ops.copgen.invert_silu_layers_backward.default(y.double(), y, *layers, bound_of(y), 3, 100)
