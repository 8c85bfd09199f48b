"""The pruned search: the neighbours of brute force in float64, whatever the features."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.evaluation import neighbours as by_blocks
from copgen.evaluation import pruned_search as pruned
from copgen.evaluation.neighbours import knn_top1, neighbours
from copgen.runtime.errors import UsageError

D = 96


def normal(count: int, dims: int, seed: int) -> Tensor:
    return torch.randn(count, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def low_rank(count: int, seed: int) -> Tensor:
    """Features in a dozen directions with a common mean, and a little of all others."""
    return normal(count, 12, seed) @ normal(12, D, 77) + 3.0 * normal(1, D, 78) + 0.05 * normal(count, D, seed + 10)


def narrow(count: int, seed: int) -> Tensor:
    """Nearly the same direction: cosines differ in the fifth digit."""
    return normal(1, D, 78) + 0.003 * low_rank(count, seed)


def flat(count: int, seed: int) -> Tensor:
    return normal(count, D, seed)


def duplicated(count: int, seed: int) -> Tensor:
    return low_rank(count, seed)[torch.arange(count) // 3]


def tied(count: int, seed: int) -> Tensor:
    """Few directions, so that most cosines are equal; some features are zero."""
    draw = torch.Generator().manual_seed(seed)
    return F.one_hot(torch.randint(7, (count,), generator=draw), D).double() * (torch.arange(count) % 5 > 0)[:, None]


def same(count: int, seed: int) -> Tensor:
    return normal(1, D, 3).expand(count, -1).clone()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every feature goes through the search, in many blocks."""
    sizes = {"BLOCK": 50, "QUERIES": 7, "REGION": 32, "BANK": 256, "CANDIDATES": 40, "GROUP": 4}
    for name, value in {**sizes, "LEADING": (1 / 12, 1 / 6), "FLAT": 2.0}.items():
        monkeypatch.setattr(pruned, name, value)
    monkeypatch.setattr(pruned, "FEWEST", {"rows": 1, "queries": 1, "dims": 1})
    monkeypatch.setattr(by_blocks, "BLOCK", 50)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("k", [1, 20, 60])
@pytest.mark.parametrize("features", [low_rank, narrow, flat, duplicated, tied, same])
def test_neighbours_are_those_of_brute_force(
    features: Callable[[int, int], Tensor], k: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, queries = features(701, 0).to(dtype), features(120, 1).to(dtype)
    used, search = list[int](), pruned.PrunedSearch._nearest

    def counted(self: pruned.PrunedSearch, *given: Tensor) -> pruned.Nearest:
        used.append(1)
        return search(self, *given)

    monkeypatch.setattr(pruned.PrunedSearch, "_nearest", counted)
    similarity, rows = neighbours(bank, queries, k=k)
    assert used
    cosines = F.normalize(queries.double(), dim=1) @ F.normalize(bank.double(), dim=1).T
    expected, order = cosines.sort(dim=1, descending=True)
    close = 4 * D * torch.finfo(dtype).eps
    torch.testing.assert_close(similarity.double(), expected[:, :k], rtol=0, atol=close)
    # The rows are distinct, and their cosines the highest there are: of equal ones, any.
    assert all(len(row.unique()) == k for row in rows)
    torch.testing.assert_close(cosines.gather(1, rows), expected[:, :k], rtol=0, atol=close)
    if features in (low_rank, flat) and dtype is torch.float64:
        assert torch.equal(rows, order[:, :k])


def test_few_rows_are_compared_where_features_vary_in_few_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruned, "BANK", 4096)
    unit = F.normalize(low_rank(4096, 0), dim=1)
    search = pruned.pruned_search(unit, 200, 5, lambda block: (block @ unit.T).topk(5, dim=1))
    assert search is not None
    search(F.normalize(low_rank(200, 1), dim=1))
    assert search.pays
    assert sum(search.compared) < 0.2 * len(search.compared)


def test_the_plain_product_takes_over_where_bounds_are_loose(monkeypatch: pytest.MonkeyPatch) -> None:
    unit, blocks = F.normalize(flat(512, 0), dim=1), list[int]()

    def plain(block: Tensor) -> pruned.Nearest:
        blocks.append(len(block))
        return (block @ unit.T).topk(5, dim=1)

    search = pruned.pruned_search(unit, 200, 5, plain)
    assert search is not None
    asked = F.normalize(flat(200, 1), dim=1)
    _, rows = search(asked)
    assert blocks == [200 - pruned.TRIED * pruned.QUERIES] or blocks == [200 - 4 - (pruned.TRIED - 1) * pruned.QUERIES]
    assert torch.equal(rows, (asked @ unit.T).topk(5, dim=1).indices)
    search(asked[:30])
    assert blocks[-1] == 30  # at once
    monkeypatch.setattr(pruned, "FLAT", 0.5)
    assert pruned.pruned_search(unit, 200, 5, plain) is None  # the spectrum says so already


@pytest.mark.parametrize("change", ["rows", "queries", "dims", "half", "nan", "few groups"])
def test_where_it_cannot_gain_it_is_not_used(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = F.normalize(low_rank(512, 0), dim=1)
    if change in pruned.FEWEST:
        monkeypatch.setitem(pruned.FEWEST, change, 1000)
    unit = unit.half() if change == "half" else unit
    if change == "nan":
        unit[3, 3] = torch.nan
    k = 200 if change == "few groups" else 5
    assert pruned.pruned_search(unit, 200, k, lambda block: (block, block)) is None


def test_votes_are_the_same() -> None:
    bank, queries = low_rank(701, 0), low_rank(120, 1)
    labels, truth = (bank[:, 0] > 0).long(), (queries[:, 0] > 0).long()
    found = knn_top1(bank, labels, queries, truth, ks=(1, 10, 60))
    cosines, order = (F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T).sort(dim=1, descending=True)
    for k, accuracy in found.items():
        votes = (cosines[:, :k] / 0.07).exp()
        ones = (votes * labels[order[:, :k]]).sum(dim=1) > votes.sum(dim=1) / 2
        assert accuracy == pytest.approx(float((ones.long() == truth).double().mean()), abs=1e-12)


def test_a_bank_smaller_than_k_is_refused() -> None:
    with pytest.raises(UsageError, match="k = 9"):
        neighbours(low_rank(8, 0), low_rank(50, 1), k=9)
