"""Anderson acceleration: the fixed points of plain iteration with fewer evaluations, and never worse off than it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.generators.residual_flow.anderson import Memory, PlainMemory, fixed_point, memory_of
from copgen.runtime import philox
from copgen.runtime.native import native

N, DIM = 40, 20
Remember = Callable[[Tensor, Tensor, int], Memory]


@pytest.fixture(params=["native", "reference"])
def remember(request: pytest.FixtureRequest) -> Remember:
    """Runs a test with each implementation."""
    if request.param == "native" and not native().usable:
        pytest.skip(f"no native operators: {native().reason}")
    return memory_of(torch.zeros(1)) if request.param == "native" else PlainMemory


def normal(rows: int, columns: int, stream: str) -> Tensor:
    return philox.normal(0, range(rows), columns, stream=stream).double()


def contraction(lipschitz: float, *, symmetric: bool = False) -> Callable[[Tensor], Tensor]:
    """x -> A sin(x) + b with ||A|| = L; where A is not symmetric it turns x, and plain iteration is nearly the best."""
    matrix = normal(DIM, DIM, "matrix")
    matrix = matrix + matrix.t() if symmetric else matrix
    matrix *= lipschitz / torch.linalg.matrix_norm(matrix, 2)
    shift = normal(1, DIM, "shift")
    return lambda x: torch.sin(x) @ matrix.to(x.dtype).t() + shift.to(x.dtype)


class Counted:
    """A map of items to the same map of some of them, which counts the items that it is asked for."""

    def __init__(self, T: Callable[[Tensor], Tensor]) -> None:
        self.T, self.items, self.rounds = T, 0, 0

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        self.items += len(rows)
        self.rounds += 1
        return self.T(x)


def solved(
    T: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    remember: Remember | None = None,
    *,
    tolerance: float = 1e-12,
    window: int = 3,
    max_rounds: int = 5000,
) -> Tensor:
    bound = torch.full((len(start),), tolerance, dtype=start.dtype)
    found = fixed_point(T, start, bound, window=window, max_rounds=max_rounds, remember=remember)
    assert found is not None
    return found


@pytest.mark.parametrize("window", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("lipschitz", [0.3, 0.9, 0.99])
def test_fixed_points_are_as_near_as_the_residual_and_the_lipschitz_constant_say(
    remember: Remember, lipschitz: float, window: int
) -> None:
    T, start = contraction(lipschitz), normal(N, DIM, "start")
    exact = start
    for _ in range(4000):
        exact = T(exact)
    found = solved(Counted(T), start, remember, tolerance=1e-9, window=window)
    error = torch.linalg.vector_norm(found - exact, dim=1)
    assert float(error.max()) <= lipschitz / (1 - lipschitz) * math.sqrt(DIM) * 1e-9


@pytest.mark.parametrize("window", [0, 1, 3])
@pytest.mark.parametrize(("dtype", "tolerance", "apart"), [(torch.float64, 1e-12, 1e-11), (torch.float32, 1e-5, 1e-4)])
def test_the_native_operator_does_what_the_reference_does(
    dtype: torch.dtype, tolerance: float, apart: float, window: int
) -> None:
    if not native().usable:
        pytest.skip(f"no native operators: {native().reason}")
    start = normal(N, DIM, "start").to(dtype)
    maps = [Counted(contraction(0.95)) for _ in range(2)]
    results = [
        solved(T, start, remember, tolerance=tolerance, window=window)
        for T, remember in zip(maps, (memory_of(start), PlainMemory), strict=True)
    ]
    torch.testing.assert_close(*results, rtol=apart, atol=apart)
    assert maps[0].items == pytest.approx(maps[1].items, rel=0.0 if dtype == torch.float64 else 0.02)


def test_one_step_of_the_native_operator_is_one_of_the_reference() -> None:
    if not native().usable:
        pytest.skip(f"no native operators: {native().reason}")
    T, start = contraction(0.95), normal(N, DIM, "start")
    bound = torch.full((N,), 1e-12, dtype=torch.float64)
    kinds = (memory_of(start), PlainMemory)
    memories = [kind(start, bound, 2) for kind in kinds]
    x, rows = start, torch.arange(N)
    for _ in range(12):
        (x, rows), (other, others) = (memory.advance(x, T(x), rows) for memory in memories)
        assert torch.equal(rows, others)
        torch.testing.assert_close(x, other, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("lipschitz", [0.8, 0.95, 0.99])
def test_it_takes_fewer_evaluations_than_plain_iteration(remember: Remember, lipschitz: float) -> None:
    start = normal(N, DIM, "start")
    plain, fast = (Counted(contraction(lipschitz, symmetric=True)) for _ in range(2))
    solved(plain, start, remember, window=0)
    solved(fast, start, remember, window=3)
    assert fast.items < 0.7 * plain.items


def test_items_leave_when_they_have_converged(remember: Remember) -> None:
    """Item k has a Lipschitz constant of its own, from 0 to nearly 1."""
    rate = torch.linspace(0.0, 0.98, N, dtype=torch.float64)[:, None]
    sizes: list[int] = []

    def T(x: Tensor, rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return 1.0 + rate[rows] * torch.sin(x)

    found = solved(T, torch.zeros(N, DIM, dtype=torch.float64), remember, window=0)
    torch.testing.assert_close(found, 1.0 + rate * torch.sin(found), rtol=0.0, atol=1e-12)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == N > sizes[len(sizes) // 2] > sizes[-1] > 0


def misleading(x: Tensor) -> Tensor:
    """A contraction whose slope turns again and again, so that what was is no guide to what comes."""
    return 0.45 * x + 0.045 * torch.sin(11.0 * x) + 0.5


def test_an_extrapolation_that_misleads_is_dropped(remember: Remember) -> None:
    start = 30.0 * normal(400, 3, "start")
    found = solved(Counted(misleading), start, remember, window=3, max_rounds=300)
    torch.testing.assert_close(found, misleading(found), rtol=0.0, atol=1e-12)


def test_a_point_after_a_refused_one_is_the_plain_step(remember: Remember) -> None:
    """T is linear until the first extrapolation lands, where it is seen to be flat instead."""
    memory = remember(torch.ones(1, 2), torch.full((1,), 1e-6), 3)
    x, rows = torch.ones(1, 2), torch.arange(1)
    t = x * 0.5
    x, rows = memory.advance(x, t, rows)
    assert torch.equal(x, t)
    t = x * 0.5
    x, rows = memory.advance(x, t, rows)
    torch.testing.assert_close(x, torch.zeros(1, 2))  # what a linear map of this rate comes to
    x, rows = memory.advance(x, x + 0.7, rows)
    assert torch.equal(x, t)


def test_a_map_that_expands_ends_as_nan_at_once(remember: Remember) -> None:
    T = Counted(lambda x: 1.5 * x + 1.0)
    assert bool(solved(T, normal(N, DIM, "start"), remember).isnan().all())
    assert T.rounds == 2


def test_too_few_rounds_give_nothing(remember: Remember) -> None:
    start = normal(N, DIM, "start")
    bound = torch.full((N,), 1e-12, dtype=torch.float64)
    T = Counted(contraction(0.9))
    assert fixed_point(T, start, bound, window=3, max_rounds=5, remember=remember) is None


def test_items_of_any_shape_and_none_at_all(remember: Remember) -> None:
    start = normal(N, 24, "start").view(N, 2, 3, 4)
    found = solved(lambda x, rows: 0.5 * torch.cos(x), start, remember)
    assert found.shape == start.shape
    torch.testing.assert_close(found, 0.5 * torch.cos(found), rtol=0.0, atol=1e-12)
    assert solved(lambda x, rows: x, start[:0], remember).shape == (0, 2, 3, 4)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_tiny_and_huge_residuals_do_no_harm(remember: Remember, scale: float) -> None:
    """Squares of float32 numbers below 1e-19 are zero, and above 1e19 infinite."""
    matrix = normal(DIM, DIM, "matrix").float()
    matrix *= 0.8 / torch.linalg.matrix_norm(matrix, 2)
    start = scale * normal(N, DIM, "start").float()
    found = solved(lambda x, rows: start[rows] - x @ matrix.t(), start, remember, tolerance=1e-5 * scale)
    torch.testing.assert_close(found + found @ matrix.t(), start, rtol=0.0, atol=1e-4 * scale)


def test_the_operator_is_registered_as_it_should_be() -> None:
    if not native().usable:
        pytest.skip(f"no native operators: {native().reason}")
    memory_of(torch.zeros(1))
    vectors, scalars = torch.randn(6, 6, 5), torch.rand(6, 3)
    arguments = (torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 2, 3, 5]), torch.ones(6), vectors, scalars, 1)
    torch.library.opcheck(torch.ops.copgen.anderson_step.default, arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: torch.zeros(4, 5, dtype=torch.int32)}, "^x .*float32 or float64"),
        ({1: torch.zeros(4, 6)}, "proposal"),
        ({1: torch.zeros(4, 5, dtype=torch.float64)}, "argument .*x"),
        ({2: torch.zeros(4)}, "^rows "),
        ({2: torch.tensor([0, 1, 2, 6])}, "^rows .*order"),
        ({2: torch.tensor([-1, 1, 2, 3])}, "^rows .*order"),
        ({2: torch.tensor([0, 1, 1, 3])}, "^rows .*order"),
        ({3: torch.ones(5)}, "scalars and bound"),
        ({4: torch.zeros(6, 4, 5)}, "vectors has shape"),
        ({5: torch.zeros(6, 6).t()[:, ::2]}, "contiguous"),
        ({6: 2}, "slot is 2"),
    ],
)
def test_an_operator_that_is_called_directly_names_the_argument(changes: dict[int, Any], message: str) -> None:
    if not native().usable:
        pytest.skip(f"no native operators: {native().reason}")
    arguments: list[Any] = [
        torch.zeros(4, 5), torch.zeros(4, 5), torch.arange(4), torch.ones(6), torch.zeros(6, 6, 5), torch.zeros(6, 3), 0
    ]  # fmt: skip
    for place, value in changes.items():
        arguments[place] = value
    with pytest.raises(ValueError, match=message):
        torch.ops.copgen.anderson_step.default(*arguments)
