"""Nearest neighbours by blocks: those of brute force in float64, and scikit-learn's vote."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from copgen.evaluation import neighbours as by_blocks
from copgen.evaluation.neighbours import knn_ranked, knn_top1, neighbours, unit_
from copgen.runtime.errors import UsageError

N, M, D, C = 300, 70, 12, 5


def features(count: int, seed: int) -> Tensor:
    return torch.randn(count, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("queries", "bank"), [(1024, 16_384), (16, 64), (7, 3), (1, 1)])
@pytest.mark.parametrize("k", [1, 5, 300])
def test_they_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch, queries: int, bank: int, k: int) -> None:
    monkeypatch.setattr(by_blocks, "QUERIES", queries)
    monkeypatch.setattr(by_blocks, "BANK", bank)
    held, asked = features(N, 0), features(M, 1)
    similarity, rows = neighbours(held, asked, k=k)
    cosine = torch.nn.functional.cosine_similarity(asked[:, None], held[None], dim=2)
    expected, order = cosine.sort(dim=1, descending=True)
    torch.testing.assert_close(similarity, expected[:, :k], rtol=1e-12, atol=1e-12)
    assert torch.equal(rows, order[:, :k])


def test_votes_are_those_of_scikit_learn() -> None:
    held, asked = features(N, 0), features(M, 1)
    labels, truth = torch.arange(N) % C, torch.arange(M) % C
    found = knn_top1(held, labels, asked, truth, ks=(1, 10, 20))

    def weights(distances: np.ndarray) -> np.ndarray:
        return np.exp((1.0 - distances) / 0.07)

    for k, accuracy in found.items():
        model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weights)
        model.fit(held.numpy(), labels.numpy())
        assert accuracy == pytest.approx(float(model.score(asked.numpy(), truth.numpy())), abs=1e-12)


def test_a_k_above_the_bank_takes_all_of_it() -> None:
    held, asked = features(8, 0), features(M, 1)
    found = knn_top1(held, torch.arange(8) % 2, asked, torch.arange(M) % 2, ks=(8, 200))
    assert found[8] == found[200]


@pytest.mark.parametrize("k", [0, 9])
def test_an_impossible_k_is_refused(k: int) -> None:
    with pytest.raises(UsageError, match=f"k = {k}"):
        neighbours(features(8, 0), features(2, 1), k=k)


def test_the_whole_matrix_of_similarities_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    product = torch.Tensor.__matmul__

    def watched(one: Tensor, other: Tensor) -> Tensor:
        nonlocal largest
        result = product(one, other)
        largest = max(largest, result.numel())
        return result

    monkeypatch.setattr(by_blocks, "QUERIES", 16)
    monkeypatch.setattr(by_blocks, "BANK", 32)
    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    neighbours(features(N, 0), features(M, 1), k=5)
    assert 0 < largest <= 16 * 32


def test_ranked_classes_are_those_with_votes() -> None:
    held, asked = features(N, 0), features(M, 1)
    ranked = knn_ranked(held, torch.arange(N) % C, asked, ks=(1, 3, 50), classes=C)
    assert ranked[1].shape == ranked[50].shape == (M, C)
    assert (ranked[1][:, 1:] == -1).all()  # one neighbour votes for one class
    assert (ranked[3][:, 3:] == -1).all()
    assert ranked[50].sort(dim=1).values.tolist() == [list(range(C))] * M


def test_features_that_are_normalised_in_place_give_the_same_votes_without_a_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, asked, labels = features(N, 0), features(M, 1), torch.arange(N) % C
    expected = knn_ranked(held, labels, asked, ks=(1, 30), classes=C)
    unit = torch.nn.functional.normalize(held, dim=1)
    monkeypatch.setattr(by_blocks, "BANK", 64)
    where = held.data_ptr()
    assert unit_(held).data_ptr() == where
    assert torch.equal(held, unit)
    unit_(asked)
    monkeypatch.delattr(by_blocks, "F")  # normalises
    found = knn_ranked(held, labels, asked, ks=(1, 30), classes=C, normalized=True)
    for k in (1, 30):
        assert torch.equal(found[k], expected[k])
