"""Layers with silu between them: the native ones are as near to float64, and a row has the same bits in any batch."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.generators.residual_flow import silu_layers
from copgen.runtime import philox

CPU = torch.device("cpu")
WHY_PLAIN = silu_layers.why_plain(CPU, torch.float32)
needs_native = pytest.mark.skipif(WHY_PLAIN is not None, reason=str(WHY_PLAIN))

N = 130
WIDTHS = [(64, 128, 128, 64), (9, 6, 6, 9), (33, 17, 70, 1), (5, 3), (300, 257, 300)]
Layers = tuple[Tensor | None, list[Tensor], list[Tensor]]


def case(widths: tuple[int, ...]) -> tuple[Tensor, Layers]:
    """x, entry, weights and biases; what goes through the layers stays of the order of 1."""

    def normal(rows: int, columns: int, name: str) -> Tensor:
        return philox.normal(0, range(rows), columns, stream=name).float()

    steps = list(enumerate(itertools.pairwise(widths)))
    weights = [2.0 * b**-0.5 * normal(b, a, f"w{k}") for k, (a, b) in steps]
    biases = [normal(1, b, f"b{k}")[0] for k, (_, b) in steps]
    return 2.0 * normal(N, widths[0], "x"), (torch.tensor([0.7]), weights, biases)


def plain(x: Tensor, layers: Layers) -> Tensor:
    return silu_layers.plain(x, *layers, [F.linear] * len(layers[1]))


def doubled(layers: Layers) -> Layers:
    entry, weights, biases = layers
    twice = [[one.double() for one in several] for several in (weights, biases)]
    return None if entry is None else entry.double(), twice[0], twice[1]


def native(x: Tensor, layers: Layers) -> Tensor:
    assert WHY_PLAIN is None
    with torch.no_grad():
        return silu_layers.linear(x, *layers)


@needs_native
@pytest.mark.parametrize("enters", [False, True])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_they_are_as_near_to_float64_as_pytorch_s(widths: tuple[int, ...], enters: bool) -> None:
    x, (entry, weights, biases) = case(widths)
    layers: Layers = (entry if enters else None, weights, biases)
    exact = plain(x.double(), doubled(layers))
    found, reference = native(x, layers), plain(x, layers)
    errors = [float((one - exact).norm() / exact.norm()) for one in (found, reference)]
    assert errors[0] < 2 * errors[1] + 1e-7
    turned = [weight.t().contiguous().t() for weight in weights]
    assert torch.equal(native(x.t().contiguous().t(), (layers[0], turned, biases)), found)


@needs_native
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_a_row_has_the_same_bits_in_any_batch(widths: tuple[int, ...]) -> None:
    x, layers = case(widths)
    whole = native(x, layers)
    for begin, end in [(0, 1), (0, 7), (0, 48), (17, 100), (65, 130), (129, 130), (4, 4)]:
        assert torch.equal(native(x[begin:end], layers), whole[begin:end])
    assert torch.equal(native(x.flip(0), layers).flip(0), whole)


@needs_native
def test_the_number_of_threads_does_not_change_a_bit() -> None:
    x, layers = case((64, 128, 128, 64))
    threads, x = torch.get_num_threads(), x.repeat(4, 1)
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(native(x, layers))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@needs_native
def test_silu_is_right_from_end_to_end_and_a_row_that_is_not_finite_is_alone() -> None:
    values = torch.tensor([0.0, 1e-30, 1.0, 20.0, 87.0, 90.0, 1e4, 1e30])
    x = torch.cat((values, -values))[:, None]
    identity: Layers = (torch.ones(1), [torch.ones(1, 1)], [torch.zeros(1)])
    torch.testing.assert_close(native(x, identity), F.silu(x.double()).float(), rtol=5e-7, atol=1e-30)
    x, layers = case((5, 3))
    x = x[:5]
    whole = native(x, layers)
    for value in (float("nan"), float("inf")):
        x[2, 1] = value
        found = native(x, layers)
        assert not bool(torch.isfinite(found[2]).any())
        assert torch.equal(found[[0, 1, 3, 4]], whole[[0, 1, 3, 4]])


@needs_native
def test_autocast_has_no_say() -> None:
    x, layers = case((33, 17, 70, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = native(x, layers)
    assert torch.equal(inside, native(x, layers))


@needs_native
def test_the_operator_is_registered_as_it_should_be() -> None:
    x, layers = case((5, 3))
    native(x, layers)
    torch.library.opcheck(torch.ops.copgen.silu_layers.default, (x, *layers))


@needs_native
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: torch.zeros(4)}, "x is no float32 matrix"),
        ({0: torch.zeros(4, 9, dtype=torch.float64)}, "x is no float32 matrix"),
        ({0: torch.zeros(4, 8)}, "weight 0 is for 9 numbers, and there are 8"),
        ({1: torch.ones(2)}, "entry is no float32 number"),
        ({2: []}, "0 weights and 2 biases"),
        ({2: [torch.zeros(6, 9), torch.zeros(2)]}, "weight 1 is no float32 matrix"),
        ({2: [torch.zeros(6, 9), torch.zeros(2, 5)]}, "weight 1 is for 5 numbers, and there are 6"),
        ({3: [torch.zeros(6)]}, "2 weights and 1 biases"),
        ({3: [torch.zeros(6), torch.zeros(3)]}, "bias 1 is no float32 vector of 2"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[int, Any], message: str) -> None:
    x, layers = case((9, 6, 2))
    arguments: list[Any] = [x, *layers]
    for place, value in changes.items():
        arguments[place] = value
    with pytest.raises(ValueError, match=message):
        torch.ops.copgen.silu_layers.default(*arguments)


def test_it_says_why_the_layers_are_pytorch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "for float32" in str(silu_layers.why_plain(CPU, torch.float64))
    assert "for the CPU" in str(silu_layers.why_plain(torch.device("cuda"), torch.float32))
    monkeypatch.setattr(silu_layers, "product_instructions", lambda: "")
    assert silu_layers.why_plain(CPU, torch.float32) is not None
