"""The native products of the losses, against float64 and against PyTorch's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from copgen.objectives.blocked import products
from copgen.objectives.reference import normalize
from copgen.runtime.native import native

SHAPES = [(1, 1, 1), (5, 7, 3), (6, 64, 16), (65, 129, 17), (193, 66, 300), (64, 31, 600), (400, 200, 120)]
needs_native = pytest.mark.skipif(not native().instructions, reason="no native products")


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def turned(x: Tensor) -> Tensor:
    """The same matrix in column-major order."""
    return x.T.contiguous().T


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm().clamp(min=1e-30))


@pytest.fixture(params=[pytest.param("native", marks=needs_native), "torch"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(products, "is_native", lambda x: False)
    return str(request.param)


@pytest.mark.parametrize("lay_b", [Tensor.contiguous, turned], ids=["rows", "columns"])
@pytest.mark.parametrize("lay_a", [Tensor.contiguous, turned], ids=["rows", "columns"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("implementation")
def test_products_are_added(
    shape: tuple[int, int, int], lay_a: Callable[[Tensor], Tensor], lay_b: Callable[[Tensor], Tensor]
) -> None:
    rows, columns, inner = shape
    a, b, out = (numbers(*s, seed=i) for i, s in enumerate([(rows, inner), (inner, columns), (rows, columns)]))
    exact = out.double() + a.double() @ b.double()
    products.add_product(out, lay_a(a), lay_b(b))
    assert error(out, exact) < 1e-6


@needs_native
@pytest.mark.parametrize("columns", [8, 56, 64, 104, 119, 120, 127, 128])
def test_a_matrix_read_in_place_and_a_packed_one_give_the_same_bits(columns: int) -> None:
    a, b = numbers(13, 300, seed=0), numbers(300, columns, seed=1)
    by_rows, by_columns = torch.zeros(13, columns), torch.zeros(13, columns)
    products.add_product(by_rows, a, b)
    products.add_product(by_columns, a, turned(b))
    assert torch.equal(by_rows, by_columns)


@needs_native
def test_products_are_added_to_a_slice_and_nothing_outside_is_touched() -> None:
    whole, a, b = torch.full((9, 20), 7.0), numbers(4, 5, seed=0), numbers(5, 11, seed=1)
    products.add_product(whole[2:6, 3:14], a, b)
    torch.testing.assert_close(whole[2:6, 3:14], 7 + a @ b)
    whole[2:6, 3:14] = 7.0
    assert bool((whole == 7).all())


@pytest.mark.parametrize("weighted", ["", "rows", "columns", "rows columns"])
@pytest.mark.parametrize("diagonal", [None, 0, 3, -2, 1000])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("implementation")
def test_exponentials_with_weights_and_sums(shape: tuple[int, int, int], diagonal: int | None, weighted: str) -> None:
    count, other, width = shape
    rows, columns = normalize(numbers(count, width, seed=0)), normalize(numbers(other, width, seed=1))
    of_rows = numbers(count, seed=2).abs() if "rows" in weighted else None
    of_columns = numbers(other, seed=3).abs() if "columns" in weighted else None
    exact = (rows.double() @ columns.double().T / 0.1).exp()
    if weighted:
        exact *= (0 if of_rows is None else of_rows.double()[:, None]) + (0 if of_columns is None else of_columns)
    if diagonal is not None and -count < diagonal < other:
        exact.diagonal(diagonal).zero_()
    sums = torch.ones(count)
    scratch = torch.full((count * other + 3,), torch.nan)
    e = products.exponentials(
        rows,
        columns,
        0.1,
        scratch,
        diagonal=diagonal,
        row_weights=of_rows,
        column_weights=of_columns,
        row_sums=sums,
    )
    assert e.shape == (count, other)
    assert error(e, exact) < 5e-6
    assert error(sums, 1 + exact.sum(1)) < 5e-6
    assert bool(scratch[count * other :].isnan().all())


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("implementation")
def test_sums_alone(shape: tuple[int, int, int], mirrored: bool) -> None:
    count, other, width = shape
    rows, columns = normalize(numbers(count, width, seed=0)), normalize(numbers(other, width, seed=1))
    exact = (rows.double() @ columns.double().T / 0.1).exp()
    exact.diagonal().zero_()
    of_rows, of_columns = torch.ones(count), torch.ones(other)
    scratch = torch.empty(count * other)
    given = of_columns if mirrored else None
    products.add_sums(rows, columns, 0.1, scratch, diagonal=0, row_sums=of_rows, column_sums=given)
    assert error(of_rows, 1 + exact.sum(1)) < 5e-6
    assert error(of_columns, 1 + exact.sum(0) if mirrored else torch.ones(other)) < 5e-6


@needs_native
def test_powers_of_two_are_exact_to_rounding_and_never_denormal() -> None:
    x = torch.linspace(-140, 126.5, 100_003)
    e = products.exponentials(x[:, None], torch.ones(1, 1), products.LOG2_E, torch.empty(len(x)))[:, 0].double()
    exact = x.double().clamp(min=-126).exp2()
    assert float(((e - exact) / exact).abs().max()) < 1.7e-7


@needs_native
def test_nan_stays_nan() -> None:
    rows = torch.tensor([[0.5], [torch.nan], [torch.inf]])
    e = products.exponentials(rows, torch.ones(1, 1), 1.0, torch.empty(3))[:, 0]
    assert e.isfinite().tolist() == [True, False, False]


@needs_native
@pytest.mark.parametrize("shape", [(700, 300, 128), (1000, 70, 33)], ids=str)
def test_results_do_not_depend_on_the_threads(shape: tuple[int, int, int]) -> None:
    def results() -> list[Tensor]:
        count, other, width = shape
        rows, columns = normalize(numbers(count, width, seed=0)), normalize(numbers(other, width, seed=1))
        of_rows, of_columns, scratch = torch.zeros(count), torch.zeros(other), torch.empty(count * other)
        products.add_sums(rows, columns, 0.1, scratch, diagonal=0, row_sums=of_rows, column_sums=of_columns)
        e = products.exponentials(rows, columns, 0.1, scratch, diagonal=0, row_weights=of_rows)
        out = torch.zeros(count, width)
        products.add_product(out, e, columns)
        return [of_rows, of_columns, e.clone(), out]

    threads = torch.get_num_threads()
    try:
        found = []
        for torch_threads in (1, 2, 3):
            torch.set_num_threads(torch_threads)
            found.append(results())
    finally:
        torch.set_num_threads(threads)
    for one, *others in zip(*found, strict=True):
        assert all(torch.equal(one, other) for other in others)


@needs_native
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(5, 2), r"\[3, 4\] and b \[5, 2\].*out.*\[3, 2\]"),
        (torch.zeros(3, 4, dtype=torch.float64), torch.zeros(4, 2), "^a .*float32 matrix"),
        (torch.zeros(3, 4), torch.zeros(4), "^b .*float32 matrix"),
    ],
    ids=["shape", "dtype", "rank"],
)
def test_a_wrong_shape_or_dtype_is_refused(a: Tensor, b: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torch.ops.copgen.add_product_(torch.zeros(3, 2), a, b)


SAME = """
import sys, torch
from copgen.latents.operations import navigate
from copgen.objectives import info_nce
from copgen.runtime.native import native
assert native().instructions == sys.argv[1], native().instructions
draw = torch.Generator().manual_seed(0)
shapes = [(70, 33), (45, 33), (45,), (33, 45), (33,), (700, 40), (700, 40)]
z, w1, b1, w2, b2, h, h_pos = (torch.randn(shape, generator=draw) for shape in shapes)
print(navigate(z, w1, b1, w2, b2).z_pos.view(torch.int32).sum().item() if sys.argv[1] else 0)
if sys.argv[1]:
    from copgen.generators.residual_flow.native_inverse import invert
    small = [0.05 * w for w in (w1, w2)]
    x = invert(z, (torch.ones(1), small, [b1, b2]), 1e-6 * z.abs().amax(1), window=3, max_rounds=50)
    assert torch.isfinite(x).all()
print(x.view(torch.int32).sum().item() if sys.argv[1] else 0)
h.requires_grad_()
loss = info_nce(h, h_pos, temperature=0.1)
loss.backward()
print(f"{loss.item():.9f} {h.grad.double().norm().item():.12f}")
"""


@needs_native
def test_all_instruction_sets_agree_and_torch_s_variable_chooses() -> None:
    """A navigator's products and a flow's inverse have the same bits in all of them."""
    told = {"AVX-512": "avx512", "AVX2": "avx2", "": "default"}
    if native().instructions == "AVX2":
        del told["AVX-512"]
    printed = {}
    for name, variable in told.items():
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": variable}
        command = [sys.executable, "-c", SAME, name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        printed[name] = done.stdout.split()
    for number in (0, 1):
        assert len({words[number] for name, words in printed.items() if name}) == 1
    for number in (2, 3):
        values = [float(words[number]) for words in printed.values()]
        assert max(values) - min(values) < 1e-6 * max(values)
