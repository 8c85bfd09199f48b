"""The pruned searches, native and in PyTorch: the neighbours of brute force in float64, whatever the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.evaluation import leading_axes, pruned_blocks, pruned_pairs, pruned_search
from copgen.evaluation import neighbours as by_blocks
from copgen.evaluation.neighbours import knn_top1, neighbours
from copgen.runtime.dispatch import Choice, choose
from copgen.runtime.errors import UsageError

D = 96
CHOICE = choose("nearest rows", torch.device("cpu"), torch.float32)
NATIVE = CHOICE.name == "native"
SEARCHES: dict[str, Any] = {"pairs": pruned_pairs.PairSearch, "blocks": pruned_blocks.BlockSearch}


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


def far(count: int, seed: int) -> Tensor:
    """A cluster of nearly equal features, and one opposite to it, to which few queries belong."""
    return torch.where(torch.arange(count)[:, None] % 40 == 0, -1.0, 1.0) * narrow(count, seed)


def tiny(count: int, seed: int) -> Tensor:
    """Features whose squares are below the range of float32."""
    return 1e-25 * low_rank(count, seed)


def within_an_axis(count: int, seed: int) -> Tensor:
    """Nothing lies beyond the leading axes but rounding."""
    return normal(count, 4, seed) @ normal(4, D, 77)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every feature goes through the search, in many blocks."""
    sizes = {"QUERIES": 7, "REGION": 32, "BANK": 256, "CANDIDATES": 40, "GROUP": 4, "FLAT": 2.0}
    for name, value in {**sizes, "LEADING": (1 / 12, 1 / 6)}.items():
        monkeypatch.setattr(pruned_blocks, name, value)
    for name, value in {"QUERIES": 7, "REGION": 32, "FLAT": 2.0, "BLOCKS": 3}.items():
        monkeypatch.setattr(pruned_pairs, name, value)
    monkeypatch.setattr(pruned_search, "FEWEST", {"rows": 1, "queries": 1, "dims": 1})
    monkeypatch.setattr(leading_axes, "AT_ONCE", 50)
    monkeypatch.setattr(by_blocks, "BLOCK", 50)


@pytest.fixture(params=[("pairs", torch.float32), ("blocks", torch.float32), ("blocks", torch.float64)])
def search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, torch.dtype]:
    """Which search is taken, and of which dtype."""
    name, dtype = request.param
    if name == "pairs" and not NATIVE:
        pytest.skip(CHOICE.reason)
    if name == "blocks":
        monkeypatch.setattr(pruned_search, "choose", lambda *given: Choice("reference", "of this test"))
    return name, dtype


def plain_in(unit: Tensor, k: int) -> Callable[[Tensor], pruned_blocks.Nearest]:
    return lambda block: (block @ unit.T).topk(k, dim=1)


@pytest.mark.parametrize("k", [1, 20, 60])
@pytest.mark.parametrize(
    "features",
    [low_rank, narrow, flat, duplicated, tied, same, far, tiny, within_an_axis],
    ids=lambda one: one.__name__,
)
def test_neighbours_are_those_of_brute_force(
    features: Callable[[int, int], Tensor], k: int, search: tuple[str, torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, dtype = search
    bank, queries = features(701, 0).to(dtype), features(120, 1).to(dtype)
    used, nearest = list[int](), SEARCHES[name]._nearest

    def counted(self: object, *given: Tensor) -> Any:
        used.append(1)
        return nearest(self, *given)

    monkeypatch.setattr(SEARCHES[name], "_nearest", counted)
    similarity, rows = neighbours(bank, queries, k=k)
    assert used
    exact = [F.normalize(some, dim=1).double() for some in (queries, bank)]
    cosines = exact[0] @ exact[1].T
    expected, order = cosines.sort(dim=1, descending=True)
    close = 4 * D * torch.finfo(dtype).eps
    torch.testing.assert_close(similarity.double(), expected[:, :k], rtol=0, atol=close)
    # The rows are distinct, and their cosines the highest there are: of equal ones, any.
    assert all(len(row.unique()) == k for row in rows)
    torch.testing.assert_close(cosines.gather(1, rows), expected[:, :k], rtol=0, atol=close)
    if features in (low_rank, flat) and dtype is torch.float64:
        assert torch.equal(rows, order[:, :k])


def test_few_rows_are_compared_where_features_vary_in_few_directions(
    search: tuple[str, torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruned_blocks, "BANK", 4096)
    unit = F.normalize(low_rank(4096, 0), dim=1).to(search[1])
    found = pruned_search.pruned_search(unit, 200, 5, plain_in(unit, 5))
    assert found is not None
    found(F.normalize(low_rank(200, 1), dim=1).to(search[1]))
    assert found.pays
    assert sum(found.compared) < 0.2 * len(found.compared)


def test_the_plain_product_takes_over_where_bounds_are_loose(
    search: tuple[str, torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, dtype = search
    unit, blocks = F.normalize(flat(512, 0), dim=1).to(dtype), list[int]()

    def plain(block: Tensor) -> pruned_blocks.Nearest:
        blocks.append(len(block))
        return plain_in(unit, 5)(block)

    found = pruned_search.pruned_search(unit, 200, 5, plain)
    assert found is not None
    assert type(found) is SEARCHES[name]
    asked = F.normalize(flat(200, 1), dim=1).to(dtype)
    similarity, rows = found(asked)
    first = pruned_blocks.TRIED * 7
    assert blocks in ([200 - first], [200 - 4 - first + 7])
    expected = plain_in(unit, 5)(asked)
    torch.testing.assert_close(similarity, expected[0], rtol=0, atol=1e-6)
    assert torch.equal(rows, expected[1])
    found(asked[:30])
    assert blocks[-1] == 30  # at once
    for module in (pruned_blocks, pruned_pairs):
        monkeypatch.setattr(module, "FLAT", 0.5)
    assert pruned_search.pruned_search(unit, 200, 5, plain) is None  # the spectrum says so already


@pytest.mark.parametrize("change", ["rows", "queries", "dims", "half", "nan"])
def test_where_it_cannot_gain_it_is_not_used(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = F.normalize(low_rank(512, 0), dim=1).float()
    if change in pruned_search.FEWEST:
        monkeypatch.setitem(pruned_search.FEWEST, change, 1000)
    unit = unit.half() if change == "half" else unit
    if change == "nan":
        unit[3, 3] = torch.nan
    assert pruned_search.pruned_search(unit, 200, 5, plain_in(unit, 5)) is None


def test_blocks_are_not_used_for_so_many_neighbours_that_there_are_too_few_groups() -> None:
    unit = F.normalize(low_rank(512, 0), dim=1)
    assert pruned_search.pruned_search(unit, 200, 200, plain_in(unit, 200)) is None


def test_queries_with_a_nan_are_left_to_the_plain_product(search: tuple[str, torch.dtype]) -> None:
    unit, queries = (F.normalize(low_rank(count, count), dim=1).to(search[1]) for count in (512, 40))
    queries[7, 5] = torch.nan
    found = pruned_search.pruned_search(unit, 40, 5, plain_in(unit, 5))
    assert found is not None
    for ours, expected in zip(found(queries), plain_in(unit, 5)(queries), strict=True):
        torch.testing.assert_close(ours, expected, equal_nan=True)
    assert found.compared == []


def test_the_length_beyond_the_axes_is_never_too_small() -> None:
    unit = F.normalize(within_an_axis(200, 0), dim=1)
    axes, beyond = leading_axes.principal_axes(unit)
    assert beyond[3] < 1e-12
    first, second = leading_axes.coordinates_of(unit, axes[:, :8], (4, 8))
    assert [step.shape for step in (first, second)] == [(200, 5), (200, 5)]
    for step, end in ((first, 4), (second, 8)):
        rest = unit - unit @ axes[:, :end] @ axes[:, :end].T
        assert (step[:, -1] >= rest.norm(dim=1)).all()
        assert step[:, -1].max() < 1e-6


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


def test_vectors_are_assigned_to_centres_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, largest, product = low_rank(701, 0), list[int](), torch.addmm
    expected = leading_axes.alike(vectors, 32)

    def watched(*given: Tensor, **how: float) -> Tensor:
        result: Tensor = product(*given, **how)  # type: ignore[call-overload]
        largest.append(result.numel())
        return result

    monkeypatch.setattr(leading_axes, "ASSIGNED", 50)
    monkeypatch.setattr(torch, "addmm", watched)
    found = leading_axes.alike(vectors, 32)
    assert 0 < max(largest) <= 50 * 22  # centres
    for block, other in zip(found, expected, strict=True):
        assert torch.equal(block, other)
