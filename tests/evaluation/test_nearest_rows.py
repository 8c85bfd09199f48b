"""The operator `nearest_rows`: the same with any number of threads, and wrong arguments are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.runtime.dispatch import choose

CHOICE = choose("nearest rows", torch.device("cpu"), torch.float32)
pytestmark = pytest.mark.skipif(CHOICE.name != "native", reason=CHOICE.reason)
ROWS, QUERIES, D, C = 130, 20, 37, 5
CALL: Any = torch.ops.copgen.nearest_rows.default


def arguments(**changes: object) -> dict[str, object]:
    draw = torch.Generator().manual_seed(0)
    scale = 0.6 ** torch.arange(D)  # so that the first coordinates say much
    bank, queries = (torch.randn(count, D, generator=draw) * scale for count in (ROWS, QUERIES))
    coarse, coarse_queries = (
        torch.cat((rows[:, : C - 1], rows[:, C - 1 :].norm(dim=1, keepdim=True)), dim=1) for rows in (bank, queries)
    )
    visits = torch.stack([torch.randperm(3, generator=draw) for _ in range(3)])
    named = {"bank": bank, "coarse": coarse, "queries": queries, "coarse_queries": coarse_queries, "visits": visits}
    return {**named, "block": 8, "region": 60, "k": 4, "margin": 1e-3, **changes}


def test_results_do_not_depend_on_the_threads() -> None:
    found = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(CALL(*arguments().values()))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("k", [1, 4, ROWS])
@pytest.mark.parametrize("dim", [1, 7, 8, 33, D])
def test_products_are_those_of_all_pairs(k: int, dim: int) -> None:
    given: dict[str, Any] = arguments(k=k)
    bank, queries = given["bank"][:, :dim].contiguous(), given["queries"][:, :dim].contiguous()
    # A bound that lets every row pass.
    coarse, coarse_queries = torch.full((ROWS, 1), 1e3), torch.ones(QUERIES, 1)
    named = {"bank": bank, "queries": queries, "coarse": coarse, "coarse_queries": coarse_queries}
    products, rows, compared = CALL(*(given | named).values())
    expected = queries.double() @ bank.double().T
    best = expected.sort(dim=1, descending=True).values[:, :k]
    for one in (best, expected.gather(1, rows)):
        torch.testing.assert_close(products.double(), one, rtol=0, atol=1e-4)
    assert all(len(row.unique()) == k for row in rows)
    assert compared.tolist() == [8 * ROWS, 8 * ROWS, 4 * ROWS]


def test_pairs_below_the_bound_are_left_out() -> None:
    given: dict[str, Any] = arguments()
    products, _, compared = CALL(*given.values())
    expected = (given["queries"] @ given["bank"].T).topk(4, dim=1).values
    torch.testing.assert_close(products, expected, rtol=0, atol=1e-4)
    assert compared.sum() < ROWS * QUERIES


def transposed(rows: int, columns: int) -> Tensor:
    return torch.zeros(columns, rows).T


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bank", torch.zeros(ROWS)),
        ("bank", torch.zeros(ROWS, D, dtype=torch.float64)),
        ("bank", transposed(ROWS, D)),
        ("bank", torch.full((ROWS, D), torch.nan)),
        ("coarse", torch.zeros(ROWS - 1, C)),
        ("coarse", torch.zeros(ROWS, C + 1)),
        ("coarse", torch.full((ROWS, C), torch.nan)),
        ("queries", torch.zeros(QUERIES, D + 1)),
        ("coarse_queries", torch.zeros(QUERIES + 1, C)),
        ("visits", torch.zeros(3, 3)),
        ("visits", torch.zeros(2, 3, dtype=torch.int64)),
        ("visits", torch.tensor([[0, 1, 3]] * 3)),
        ("visits", torch.tensor([[0, -1, 2]] * 3)),
        ("block", 0),
        ("region", 0),
        ("k", 0),
        ("k", ROWS + 1),
    ],
)
def test_wrong_arguments_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CALL(*arguments(**{name: value}).values())


def test_rows_that_are_not_visited_are_missed() -> None:
    with pytest.raises(ValueError, match="visited"):
        CALL(*arguments(k=ROWS, visits=torch.zeros(3, 3, dtype=torch.int64)[:, :3].fill_(2)).values())
