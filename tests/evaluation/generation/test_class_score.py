"""The Inception Score against its definition in numpy, against torch-fidelity, and at its bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen.evaluation.generation.class_score import class_score


def logits(count: int = 203, classes: int = 11) -> Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(1)) * 3.0


def reference(given: Tensor, splits: int) -> list[float]:
    """exp of the mean over images of sum_y p(y | x) log(p(y | x) / p(y)), of each split."""
    z = given.double().numpy()
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    size = len(p) // splits
    found = []
    for number in range(splits):
        some = p[number * size : (number + 1) * size]
        marginal = some.mean(0, keepdims=True)
        found.append(float(np.exp((some * np.log(some / marginal)).sum(1).mean())))
    return found


@pytest.mark.parametrize("parts", [1, 20, 64, 1000])
@pytest.mark.parametrize("splits", [1, 10])
def test_it_is_the_definition(parts: int, splits: int) -> None:
    expected = reference(logits(), splits)
    found = class_score(torch.split(logits(), parts), count=203, splits=splits)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert found.std == pytest.approx(np.std(expected), rel=1e-9, abs=1e-12)


def test_it_is_torch_fidelitys() -> None:
    theirs: Any = pytest.importorskip("torch_fidelity.metric_isc")
    given = logits(200)
    expected = theirs.isc_features_to_metric(given, splits=10, shuffle=False)
    found = class_score([given], count=200)
    assert found.mean == pytest.approx(expected["inception_score_mean"], rel=1e-6)
    assert found.std == pytest.approx(expected["inception_score_std"], rel=1e-6)


def test_bounds() -> None:
    certain = 1e4 * torch.eye(5).repeat(20, 1)
    assert class_score([certain], count=100, splits=4).mean == pytest.approx(5.0)
    assert class_score([torch.zeros(100, 5)], count=100).mean == pytest.approx(1.0)
    one_class = torch.zeros(100, 5)
    one_class[:, 2] = 1e4
    assert class_score([one_class], count=100).mean == pytest.approx(1.0)


def test_fewer_images_than_splits() -> None:
    with pytest.raises(ValueError, match="10 splits"):
        class_score([logits(9)], count=9)
    with pytest.raises(ValueError, match="20"):
        class_score([logits(9)], count=20)
