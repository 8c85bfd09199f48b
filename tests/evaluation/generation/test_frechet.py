"""The Fréchet distance against scipy's matrix square root in float64, and against torch-fidelity's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg  # type: ignore[import-untyped]
import torch
from torch import Tensor

from copgen.evaluation.generation.frechet import frechet_distance, moments


def two_sets(count: int, dim: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated features far from zero, of two different distributions."""
    made = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=made)
    one = torch.randn(count, dim, generator=made) @ mixing + 30.0
    other = torch.randn(count + 7, dim, generator=made) @ mixing.T * 1.3 + 31.0
    return one, other


def reference(one: Tensor, other: Tensor) -> float:
    """As in the definition: means, covariances and the square root of their product."""
    x, y = one.double().numpy(), other.double().numpy()
    covariance, covariance_of_other = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(covariance @ covariance_of_other)
    apart = float(np.square(x.mean(0) - y.mean(0)).sum())
    return apart + float(np.trace(covariance + covariance_of_other - 2.0 * root.real))


@pytest.mark.parametrize("parts", [1000, 64, 7])
def test_it_is_the_definition(parts: int) -> None:
    one, other = two_sets(300, 24)
    ours = frechet_distance(moments(torch.split(one, parts)), moments(torch.split(other, parts)))
    assert ours == pytest.approx(reference(one, other), rel=1e-10)


def test_moments_do_not_depend_on_the_parts() -> None:
    one, _ = two_sets(100, 5)
    whole, split = moments([one]), moments(torch.split(one, 9))
    assert split.count == 100
    torch.testing.assert_close(split.mean, one.double().mean(dim=0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(split.covariance, torch.cov(one.double().T), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(split.covariance, whole.covariance, rtol=1e-10, atol=1e-10)


def test_gaussians_of_one_dimension() -> None:
    """(mu - mu')^2 + (s - s')^2 where covariances commute; this one by hand."""
    one, other = torch.tensor([[-1.0], [1.0]]), torch.tensor([[3.0], [7.0]])  # variances 2 and 8
    assert frechet_distance(moments([one]), moments([other])) == pytest.approx(25.0 + 2.0 + 8.0 - 2.0 * 4.0)


def test_equal_sets_have_no_distance() -> None:
    one, _ = two_sets(20, 30)  # fewer features than dimensions
    assert frechet_distance(moments([one]), moments([one])) == pytest.approx(0.0, abs=1e-4)


def test_fewer_features_than_dimensions() -> None:
    one, other = two_sets(12, 40)
    ours = frechet_distance(moments([one]), moments([other]))
    assert ours == pytest.approx(reference(one, other), rel=1e-4)
    assert ours == pytest.approx(frechet_distance(moments([other]), moments([one])), rel=1e-8)


def test_it_is_torch_fidelitys() -> None:
    theirs: Any = pytest.importorskip("torch_fidelity.metric_fid")
    one, other = two_sets(400, 16, seed=3)
    statistics = [theirs.fid_features_to_statistics(features.double()) for features in (one, other)]
    expected = theirs.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(moments([one]), moments([other])) == pytest.approx(expected, rel=1e-8)


def test_one_feature_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="1"):
        moments([torch.zeros(1, 3)])
