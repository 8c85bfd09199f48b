"""The fused navigator on the tensor cores against NumPy and the reference in float64."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen.kernels import navigate as launches
from copgen.kernels import navigate_tiles
from copgen.latents import navigate
from copgen.latents.operations import reference, tensor_cores
from copgen.runtime.dispatch import Choice
from copgen.runtime.errors import UsageError
from tests.kernels.exact import DEVICE
from tests.latents.operations.navigators import Case, case, expected

SHAPES = [(17, 1, 1), (33, 33, 17), (20, 16, 128), (5, 128, 16), (40, 120, 120)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
EPS = torch.finfo(torch.float32).eps
OPERATOR = torch.ops.copgen.navigate_on_tensor_cores


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernels answer for every device."""
    choice = Choice("triton", "the test")
    module = importlib.import_module("copgen.latents.operations.navigate")  # the package names its function like it
    monkeypatch.setattr(module, "choose", lambda *arguments, **settings: choice)


def made(*shape: int, dtype: torch.dtype = torch.float32) -> Case:
    return case(*shape, dtype=dtype, device=DEVICE)


def leaves(inputs: Case) -> list[Tensor]:
    return [x.detach().clone().requires_grad_() for x in inputs]


def close(found: Tensor, exact: Tensor | np.ndarray, tolerance: float) -> None:
    wanted = torch.as_tensor(exact).cpu().double()
    torch.testing.assert_close(found.detach().cpu().double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_is_what_numpy_computes(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    inputs = made(*shape, dtype=dtype)
    z_pos, d, stats = expected(inputs, delta=0.3)
    found = navigate(*inputs, delta=0.3)
    tolerance = 4 * EPS
    # z' is rounded to its dtype; Triton's interpreter truncates to bfloat16.
    close(found.z_pos, z_pos, tolerance + (2 if dtype == torch.bfloat16 else 1) * torch.finfo(dtype).eps)
    close(found.d, d, tolerance)
    assert (found.z_pos.dtype, found.d.dtype) == (dtype, torch.float32)
    for name, value in found.numbers().items():
        assert value == pytest.approx(stats[name], rel=tolerance, abs=tolerance, nan_ok=True), name


@pytest.mark.parametrize(
    "tile", sorted({tile for tiles in navigate_tiles.TILES.values() for tile in tiles}, key=str), ids=str
)
def test_every_tile_works_through_several_tiles_in_a_program(
    monkeypatch: pytest.MonkeyPatch, tile: navigate_tiles.Tile
) -> None:
    monkeypatch.setattr(launches, "tile_for", lambda device, rows: tile)
    monkeypatch.setattr(launches, "processors", lambda device: 2)
    inputs = made(4 * tile.rows + 3, 24, 40)  # more hidden units than some tiles hold at a time
    z_pos, d, stats = reference.navigate(*Case(*(x.double() for x in inputs)), delta=0.3)
    found = launches.forward(*inputs, 0.3, 0)
    close(found[0], z_pos, 4 * EPS)
    close(found[1], d, 4 * EPS)
    close(found[2], stats, 4 * EPS)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_a_lower_precision_rounds_operands_to_eleven_bits(precision: str) -> None:
    inputs = made(33, 120, 120)
    exact = expected(inputs, delta=0.3)[1]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        d = navigate(*inputs).d
    finally:
        torch.set_float32_matmul_precision(before)
    error = float((d.double().cpu() - torch.as_tensor(exact)).abs().max())
    assert 16 * EPS < error < 2.0**-11


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e3, 1e12])
def test_rows_and_weights_of_any_size_have_the_accuracy_of_float32(size: float) -> None:
    inputs = made(20, 40, 30)
    inputs.z[::2] *= size
    inputs.w1[:] /= 1e3
    inputs.b1[:] = inputs.b2[:] = 0.0
    exact = expected(inputs, delta=0.3)[1]
    found = navigate(*inputs).d.double().cpu().numpy()
    np.testing.assert_allclose(found, exact, rtol=8 * EPS)


def test_small_numbers_beside_large_ones_keep_their_digits() -> None:
    inputs = made(20, 40, 30)
    inputs.z[:, ::2] *= 2.0**-13
    inputs.w1[:, 1::2] = 0.0  # only the small ones count
    inputs.b1[:] = inputs.b2[:] = 0.0
    exact = expected(inputs, delta=0.3)[1]
    np.testing.assert_allclose(navigate(*inputs).d.double().cpu().numpy(), exact, rtol=8 * EPS)


def test_a_spread_far_below_the_mean_is_found() -> None:
    inputs = made(40, 30, 16)
    inputs.w2[:] *= 1e-3
    inputs.b2[:] = 3.0
    stats = expected(inputs, delta=0.3)[2]
    found = navigate(*inputs).numbers()
    assert stats["shift_std"] < 1e-2
    assert found["shift_std"] == pytest.approx(stats["shift_std"], rel=1e-3)
    assert found["d_std"] == pytest.approx(stats["d_std"], rel=1e-2)


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # of NumPy, in the interpreter
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0xFF800001 - 2**32, 0x7F800000], ids=hex)
@pytest.mark.parametrize("place", range(5))
def test_what_is_not_finite_is_found_wherever_it_is(place: int, bits: int) -> None:
    """NaN with any payload; the matrix units would drop the lowest bits of float32, and take it for infinity."""
    inputs = made(20, 24, 16)
    inputs[place].view(torch.int32).flatten()[5] = bits
    found = navigate(*inputs, delta=0.3)
    lost = ~torch.isfinite(found.d)
    assert bool(lost[0])
    assert int(lost.sum()) == (1 if place == 0 else 20) or bits == 0x7F800000  # infinite weights need not reach a row
    assert not math.isfinite(found.numbers()["d_max"])


def test_an_empty_batch_has_empty_results() -> None:
    inputs = leaves(made(0, 5, 3))
    found = navigate(*inputs, delta=0.1)
    assert (found.z_pos.shape, found.d.shape) == ((0, 5), (0,))
    numbers = found.numbers()
    assert numbers.pop("violations") == 0
    assert all(math.isnan(value) for value in numbers.values())
    gradients = torch.autograd.grad(found.z_pos.sum(), inputs)
    assert all(not gradient.any() for gradient in gradients)


def test_strides_and_offsets_do_not_matter() -> None:
    inputs = made(20, 24, 30)
    strided = Case(
        torch.empty(24, 40, device=DEVICE).T[::2].copy_(inputs.z),
        *(torch.stack((w, w), -1)[..., 1] for w in inputs[1:]),
    )
    assert not any(x.is_contiguous() for x in strided)
    found, plain = navigate(*strided), navigate(*inputs)
    assert torch.equal(found.z_pos, plain.z_pos)
    assert torch.equal(found.stats, plain.stats)
    odd = torch.empty(20 * 24 + 1, device=DEVICE)[1:].view(20, 24).copy_(inputs.z)
    assert torch.equal(navigate(odd, *inputs[1:]).z_pos, navigate(*inputs).z_pos)


def test_bfloat16_weights_are_those_numbers_in_float32() -> None:
    inputs = made(20, 33, 20)
    rounded = [w.bfloat16() for w in inputs[1:]]
    found = navigate(inputs.z, *rounded)
    assert found.z_pos.dtype == torch.float32
    assert torch.equal(found.z_pos, navigate(inputs.z, *(w.float() for w in rounded)).z_pos)


def test_a_mixture_of_dtypes_is_refused() -> None:
    inputs = made(3, 4, 5)
    with pytest.raises(UsageError, match=r"w2 torch\.float16"):
        navigate(*inputs._replace(w2=inputs.w2.half()))
    navigate(*inputs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_places_beyond_two_to_the_31() -> None:
    rows, last = 2**24 + 3, 3
    inputs = made(last, 128, 16, dtype=torch.bfloat16)
    z = torch.empty(rows, 128, dtype=torch.bfloat16, device=DEVICE).normal_()
    z[-last:] = inputs.z
    found, alone = navigate(z, *inputs[1:]), navigate(*inputs)
    assert torch.equal(found.z_pos[-last:], alone.z_pos)
    torch.testing.assert_close(found.d[-last:], alone.d, rtol=4 * EPS, atol=0.0)


# Gradients


@pytest.mark.parametrize("through", ["z_pos", "d", "both"])
@pytest.mark.parametrize("kept", ["all", "some", "none"])
def test_gradients_are_the_reference_s_whatever_was_kept(
    through: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, width = 20, 7
    share = {"all": 1.0, "some": 0.6, "none": 0.0}[kept]
    monkeypatch.setattr(tensor_cores, "_MOST_KEPT", int(share * rows * width * 4))
    inputs = made(rows, 5, width)

    def gradients(outputs: Any, of: list[Tensor]) -> tuple[Tensor, ...]:
        z_pos, d = outputs
        loss = z_pos.sin().sum() * (through != "d") + d.exp().sum() * (through != "z_pos")
        return torch.autograd.grad(loss, of)

    ours, exact = leaves(inputs), [x.detach().double().requires_grad_() for x in inputs]
    found = navigate(*ours)
    wanted = gradients(reference.navigate(*Case(*exact), delta=None)[:2], exact)
    for gradient, plain in zip(gradients((found.z_pos, found.d), ours), wanted, strict=True):
        close(gradient, plain, 64 * EPS)


@pytest.mark.parametrize("asked", range(5))
def test_each_gradient_can_be_asked_for_alone(asked: int) -> None:
    inputs = leaves(made(20, 6, 4))
    every = torch.autograd.grad(navigate(*inputs).z_pos.square().sum(), inputs)
    alone = [x.detach().requires_grad_(place == asked) for place, x in enumerate(inputs)]
    (gradient,) = torch.autograd.grad(navigate(*alone).z_pos.square().sum(), alone[asked])
    assert torch.equal(gradient, every[asked])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_keep_their_dtype(dtype: torch.dtype) -> None:
    inputs = leaves(made(20, 6, 4, dtype=dtype))
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        loss = navigate(*inputs).d.sum()
    exact = [x.detach().double().requires_grad_() for x in inputs]
    wanted = torch.autograd.grad(reference.navigate(*Case(*exact), delta=None)[1].sum(), exact)
    for gradient, plain in zip(torch.autograd.grad(loss, inputs), wanted, strict=True):
        assert gradient.dtype == dtype
        close(gradient, plain, 4 * torch.finfo(dtype).eps)


def test_a_row_that_does_not_move_has_a_finite_gradient() -> None:
    inputs = made(4, 3, 2)
    still = leaves(inputs._replace(w2=torch.zeros_like(inputs.w2), b2=torch.zeros_like(inputs.b2)))
    for gradient in torch.autograd.grad(navigate(*still).d.sum(), still):
        assert bool(torch.isfinite(gradient).all())


def test_a_second_derivative_is_refused() -> None:
    inputs = leaves(made(4, 3, 2))
    gradient, *_ = torch.autograd.grad(navigate(*inputs).z_pos.square().sum(), inputs, create_graph=True)
    with pytest.raises(UsageError, match="no second derivative"):
        torch.autograd.grad(gradient.sum(), inputs)


def test_is_registered_as_an_operator_should_be() -> None:
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(OPERATOR.default, (*leaves(made(6, 5, 4)), 0.3, 6), test_utils=tests)


def test_compiles_as_one_graph_with_the_same_result() -> None:
    inputs = leaves(made(6, 5, 4))

    def run(z: Tensor, *weights: Tensor) -> Tensor:
        moved = navigate(z, *weights, delta=0.3)
        return moved.z_pos.square().sum() + moved.d.sum()

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*inputs), run(*inputs))
    expected_gradients = torch.autograd.grad(run(*inputs), inputs)
    for found, plain in zip(torch.autograd.grad(compiled(*inputs), inputs), expected_gradients, strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-6)
