"""Distributions, and how far one lies above another, against SciPy and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]

from copgen.evaluation.pairs_health.spread import above_null, spread


def test_mean_deviation_and_quantiles() -> None:
    values = torch.randn(1001, generator=torch.Generator().manual_seed(0))
    found, numbers = spread(values), values.double().numpy()
    assert found["mean"] == pytest.approx(numbers.mean())
    assert found["std"] == pytest.approx(numbers.std())
    for name in ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"):
        assert found[name] == pytest.approx(np.quantile(numbers, float(name)))
    assert set(spread(torch.tensor([2.0])).values()) == {2.0, 0.0}


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_probability_of_a_larger_value_is_that_of_mann_and_whitney(levels: int) -> None:
    draw = torch.Generator().manual_seed(levels)
    values = torch.randint(1, levels + 1, (200,), generator=draw).float()  # few levels: many ties
    null = torch.randint(0, levels, (133,), generator=draw).float()
    wanted = mannwhitneyu(values.numpy(), null.numpy()).statistic / (200 * 133)
    assert above_null(values, null) == pytest.approx(wanted, abs=1e-12)


def test_its_ends() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0, 4.0])
    assert (above_null(high, low), above_null(low, high), above_null(low, low)) == (1.0, 0.0, 0.5)
