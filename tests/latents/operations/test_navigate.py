"""The batched navigator: against NumPy in float64, its gradients, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from copgen.latents import navigate
from copgen.latents.operations import reference
from copgen.latents.operations.shift import NAMES
from copgen.runtime.errors import UsageError
from copgen.runtime.native import native
from tests.latents.operations.navigators import Case, case, expected

SHAPES = [(1, 1, 1), (3, 7, 5), (33, 119, 130), (129, 127, 1000), (257, 120, 120), (65, 784, 784), (2500, 4, 3)]


def bound(given: Case) -> float:
    """What rounding may do to a coordinate: it is a sum of so many products, all of the order of 1."""
    terms = given.w1.shape[0] + given.w1.shape[1]
    eps = torch.finfo(torch.float64 if given.z.dtype == torch.float64 else torch.float32).eps
    return 4.0 * math.sqrt(terms) * eps + torch.finfo(given.z.dtype).eps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_is_what_numpy_computes(
    implementation: str, device: torch.device, by_cuda: bool, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    inputs = case(*shape, dtype=dtype, device=device)
    z_pos, d, stats = expected(inputs, delta=0.3)
    found = navigate(*inputs, delta=0.3)
    tolerance = 1e-12 if dtype == torch.float64 else bound(inputs)
    if dtype == torch.bfloat16 and by_cuda and max(shape[1:]) > 128:
        tolerance *= 4  # h is rounded to bfloat16 between the products there
    np.testing.assert_allclose(found.z_pos.double().cpu().numpy(), z_pos, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.d.double().cpu().numpy(), d, rtol=tolerance, atol=tolerance)
    assert found.z_pos.dtype == dtype
    assert found.d.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.stats.device == found.d.device
    for name, value in found.numbers().items():
        if name == "violations":
            # A row within rounding of delta may fall on either side.
            assert abs(value - stats[name]) <= (np.abs(d - 0.3) < tolerance).sum()
        else:
            assert value == pytest.approx(stats[name], rel=10 * tolerance, abs=10 * tolerance, nan_ok=True), name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 300), dim=st.integers(1, 140), width=st.integers(1, 140), seed=st.integers(0, 99))
def test_any_shape_agrees_with_the_reference(built: None, rows: int, dim: int, width: int, seed: int) -> None:
    inputs = case(rows, dim, width, seed=seed)
    found = navigate(*inputs, delta=0.3)
    z_pos, d, stats = reference.navigate(*inputs, 0.3)
    pairs = ((found.z_pos, z_pos), (found.d, d), (variances(found.stats), variances(stats)))
    for ours, plain in pairs:
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-12, equal_nan=True)


def variances(stats: torch.Tensor) -> torch.Tensor:
    """The statistics with squared deviations: rounding of a variance of zero is 1e-9 in its root."""
    squared = torch.tensor([name.endswith("_std") for name in NAMES], device=stats.device)
    return torch.where(squared, stats.square(), stats)


def test_bfloat16_weights_are_those_numbers_in_float32(implementation: str, device: torch.device) -> None:
    inputs = case(50, 33, 20, dtype=torch.float32, device=device)
    rounded = [w.bfloat16() for w in inputs[1:]]
    exact = navigate(inputs.z, *(w.float() for w in rounded))
    found = navigate(inputs.z, *rounded)
    torch.testing.assert_close(found.z_pos, exact.z_pos, rtol=1e-6, atol=1e-6)
    assert found.z_pos.dtype == torch.float32


def test_an_empty_batch_has_empty_results(implementation: str, device: torch.device) -> None:
    inputs = case(0, 5, 3, device=device)
    found = navigate(*inputs, delta=0.1)
    assert (found.z_pos.shape, found.d.shape) == ((0, 5), (0,))
    numbers = found.numbers()
    assert numbers.pop("violations") == 0
    assert all(math.isnan(value) for value in numbers.values())
    z = inputs.z.requires_grad_()
    (gradient,) = torch.autograd.grad(navigate(z, *inputs[1:]).z_pos.sum(), z)
    assert gradient.shape == (0, 5)


def test_a_bound_of_none_has_no_violations(implementation: str) -> None:
    assert navigate(*case(9, 5, 3)).numbers()["violations"] == 0
    assert navigate(*case(9, 5, 3), delta=0.0).numbers()["violations"] == 9


def test_strides_do_not_matter(implementation: str, device: torch.device) -> None:
    inputs = case(40, 24, 30, device=device)
    strided = Case(
        torch.empty(24, 80, dtype=torch.float64, device=device).T[::2].copy_(inputs.z),
        *(torch.stack((w, w), -1)[..., 0] for w in inputs[1:]),
    )
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(navigate(*strided).z_pos, navigate(*inputs).z_pos, rtol=1e-13, atol=1e-14)


def test_a_nan_stays_a_nan(implementation: str, device: torch.device) -> None:
    inputs = case(40, 8, 6, device=device)
    inputs.z[17, 3] = math.nan
    found = navigate(*inputs, delta=0.3)
    assert bool(found.d[17].isnan())
    assert int(found.d.isnan().sum()) == 1
    assert math.isnan(found.numbers()["d_max"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("width", [6, 130])
def test_a_nan_is_found_wherever_it_is(
    implementation: str, device: torch.device, width: int, place: int, dtype: torch.dtype
) -> None:
    """In z or a weight, even where the hidden units lose it."""
    inputs = case(40, 8, width, dtype=dtype, device=device)
    assert bool(navigate(*inputs).d.isfinite().all())
    inputs[place].flatten()[3] = math.nan
    found = navigate(*inputs, delta=0.3)
    assert int(found.d.isnan().sum()) == (1 if place == 0 else 40)
    assert bool(found.z_pos[0].isnan().any())
    assert math.isnan(found.numbers()["d_max"])


def test_the_number_of_threads_does_not_change_a_bit(built: None, device: torch.device) -> None:
    inputs = with_gradients(case(1000, 30, 40, dtype=torch.float32, device=device))
    threads = torch.get_num_threads()
    one = navigate(*inputs, delta=0.3)
    slope = torch.autograd.grad(one.z_pos.sum() + one.d.sum(), inputs)
    try:
        torch.set_num_threads(2)
        two = navigate(*inputs, delta=0.3)
        slope_of_two = torch.autograd.grad(two.z_pos.sum() + two.d.sum(), inputs)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.z_pos, two.z_pos)
    assert torch.equal(one.stats, two.stats)
    assert torch.equal(slope[0], slope_of_two[0])
    for gradient, of_two in zip(slope[1:], slope_of_two[1:], strict=True):  # BLAS may split sums over rows
        torch.testing.assert_close(gradient, of_two, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not native().instructions, reason="BLAS may sum the rows of a small batch in another order")
@pytest.mark.parametrize(("dim", "hidden"), [(120, 120), (33, 17), (300, 420)])
def test_a_row_has_the_same_bits_in_any_batch(dim: int, hidden: int) -> None:
    z, *weights = case(130, dim, hidden, dtype=torch.float32, device=torch.device("cpu"))
    whole = navigate(z, *weights)
    for begin, end in [(0, 1), (0, 33), (17, 100), (129, 130)]:
        part = navigate(z[begin:end], *weights)
        assert torch.equal(part.z_pos, whole.z_pos[begin:end])
        assert torch.equal(part.d, whole.d[begin:end])


def test_autocast_has_no_say(implementation: str, device: torch.device) -> None:
    inputs = case(50, 33, 20, dtype=torch.float32, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        found = navigate(*inputs)
    assert found.z_pos.dtype == torch.float32
    assert torch.equal(found.z_pos, navigate(*inputs).z_pos)


# Gradients


def with_gradients(inputs: Case) -> list[Tensor]:
    return [x.detach().clone().requires_grad_() for x in inputs]


@pytest.mark.parametrize("shape", [(5, 4, 3), (70, 6, 2)])
def test_all_gradients_are_those_of_finite_differences(
    implementation: str, device: torch.device, shape: tuple[int, int, int]
) -> None:
    def outputs(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = navigate(*inputs)
        return found.z_pos, found.d

    assert torch.autograd.gradcheck(outputs, with_gradients(case(*shape, device=device)), fast_mode=shape[0] > 50)


@pytest.mark.parametrize("through", ["z_pos", "d", "both"])
@pytest.mark.parametrize("kept", ["all", "some", "none"])
def test_gradients_are_the_reference_s_whatever_was_kept(
    built: None, device: torch.device, through: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, width = 4500, 7  # more than two of the CPU's panels
    share = {"all": 1.0, "some": 0.6, "none": 0.0}[kept]
    monkeypatch.setattr("copgen.latents.operations.operators._MOST_KEPT", int(share * rows * width * 8))
    inputs = case(rows, 5, width, device=device)

    def gradients(outputs: Any, leaves: list[Tensor]) -> tuple[Tensor, ...]:
        z_pos, d = outputs
        loss = z_pos.sin().sum() * (through != "d") + d.exp().sum() * (through != "z_pos")
        return torch.autograd.grad(loss, leaves)

    ours, plain = with_gradients(inputs), with_gradients(inputs)
    found = navigate(*ours)
    wanted = gradients(reference.navigate(*Case(*plain), delta=None)[:2], plain)
    for gradient, plain_one in zip(gradients((found.z_pos, found.d), ours), wanted, strict=True):
        torch.testing.assert_close(gradient, plain_one, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("asked", range(5))
def test_each_gradient_can_be_asked_for_alone(implementation: str, device: torch.device, asked: int) -> None:
    inputs = with_gradients(case(40, 6, 4, device=device))
    every = torch.autograd.grad(navigate(*inputs).z_pos.square().sum(), inputs)
    alone = [x.detach().requires_grad_(place == asked) for place, x in enumerate(inputs)]
    (gradient,) = torch.autograd.grad(navigate(*alone).z_pos.square().sum(), alone[asked])
    torch.testing.assert_close(gradient, every[asked], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_keep_their_dtype_and_are_close(built: None, device: torch.device, dtype: torch.dtype) -> None:
    inputs = case(300, 20, 30, dtype=dtype, device=device)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    ours = with_gradients(inputs)
    wanted = torch.autograd.grad(reference.navigate(*Case(*exact), delta=None)[0].square().sum(), exact)
    for gradient, plain in zip(torch.autograd.grad(navigate(*ours).z_pos.square().sum(), ours), wanted, strict=True):
        assert gradient.dtype == dtype
        # z' is rounded before it is squared, and the gradient after; each entry is a sum over rows.
        scale = float(plain.abs().max())
        torch.testing.assert_close(gradient.double(), plain, rtol=0, atol=4 * scale * torch.finfo(dtype).eps)


def test_a_row_that_does_not_move_has_a_finite_gradient(implementation: str, device: torch.device) -> None:
    inputs = case(4, 3, 2, device=device)
    still = Case(inputs.z, inputs.w1, inputs.b1, torch.zeros_like(inputs.w2), torch.zeros_like(inputs.b2))
    leaves = with_gradients(still)
    for gradient in torch.autograd.grad(navigate(*leaves).d.sum(), leaves):
        assert bool(torch.isfinite(gradient).all())


def test_a_second_derivative_is_refused(built: None, device: torch.device) -> None:
    leaves = with_gradients(case(4, 3, 2, device=device))
    gradient, *_ = torch.autograd.grad(navigate(*leaves).z_pos.square().sum(), leaves, create_graph=True)
    with pytest.raises(UsageError, match="no second derivative"):
        torch.autograd.grad(gradient.sum(), leaves)


# What it refuses


def changed(**changes: Tensor) -> Case:
    return case(6, 4, 3, dtype=torch.float32)._replace(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (changed(z=torch.zeros(4)), r"z has shape \(4,\)"),
        (changed(z=torch.zeros(6, 0)), r"z has shape \(6, 0\)"),
        (changed(z=torch.zeros(6, 4, dtype=torch.int64)), "z is torch.int64"),
        (changed(z=torch.zeros(6, 5)), r"w1 has shape \(3, 4\).*\(3, 5\)"),
        (changed(w1=torch.zeros(3)), r"w1 has shape \(3,\)"),
        (changed(b1=torch.zeros(2)), r"b1 has shape \(2,\)"),
        (changed(w2=torch.zeros(3, 4)), r"w2 has shape \(3, 4\)"),
        (changed(b2=torch.zeros(1)), r"b2 has shape \(1,\)"),
        (changed(w2=torch.zeros(4, 3, dtype=torch.float64)), "w2 torch.float64"),
        (changed(b1=torch.zeros(3, device="meta")), "b1 on meta"),
    ],
)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_arguments_that_do_not_fit_are_named(
    implementation: str, arguments: Case, message: str, mode: Callable[[], AbstractContextManager[None]]
) -> None:
    with mode(), pytest.raises(UsageError, match=message):
        navigate(*arguments)


@pytest.mark.parametrize("delta", [-0.1, math.nan, math.inf, True, "0.1"])
def test_a_delta_that_cannot_be_is_refused(implementation: str, delta: Any) -> None:
    with pytest.raises(UsageError, match="delta is"):
        navigate(*case(2, 3, 4), delta=delta)
