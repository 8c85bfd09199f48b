"""Priors: rows by (seed, index), and the standard deviation."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError

from copgen.latents.prior import Prior
from copgen.runtime import philox

KINDS: tuple[Literal["normal", "truncated_normal"], ...] = ("normal", "truncated_normal")


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_a_function_of_seed_and_index(kind: Literal["normal", "truncated_normal"]) -> None:
    prior = Prior(kind=kind)
    whole = prior.draw(range(20), dim=7, seed=3)
    assert whole.shape == (20, 7)
    assert whole.dtype == torch.float32
    assert torch.equal(prior.draw([11, 2**40, 0], dim=7, seed=3)[[0, 2]], whole[[11, 0]])
    assert not torch.equal(prior.draw(range(20), dim=7, seed=4), whole)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.4])
@pytest.mark.parametrize("threshold", [0.25, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_standard_deviation_is_that_of_the_draws(
    kind: Literal["normal", "truncated_normal"], threshold: float, scale: float
) -> None:
    prior = Prior(kind=kind, scale=scale, threshold=threshold)
    z = prior.draw(range(1000), dim=40, seed=0).double()
    # The variance of the sample variance is (E z^4 - std^4) / n; the fourth moment of either is at most 3 std^4.
    assert float(z.square().mean()) == pytest.approx(prior.std**2, rel=4 * math.sqrt(2.0 / z.numel()))
    assert abs(float(z.mean())) < 4 * prior.std / math.sqrt(z.numel())


def test_truncation_at_two_is_the_published_figure() -> None:
    assert Prior(kind="truncated_normal").std == pytest.approx(0.8796256610342398, rel=1e-12)
    assert Prior(kind="truncated_normal", threshold=50.0, scale=3.0).std == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize("threshold", [0.5, 2.0])
def test_the_threshold_is_before_the_scale(threshold: float) -> None:
    z = Prior(kind="truncated_normal", scale=3.0, threshold=threshold).draw(range(500), dim=10, seed=0)
    assert 0.95 * 3.0 * threshold < float(z.abs().max()) <= 3.0 * threshold


def test_a_normal_prior_ignores_the_threshold() -> None:
    narrow, wide = Prior(threshold=0.1), Prior(threshold=9.0)
    assert torch.equal(narrow.draw(range(9), dim=3, seed=0), wide.draw(range(9), dim=3, seed=0))
    expected = philox.normal(0, range(9), 3, stream="latents").float()
    assert torch.equal(narrow.draw(range(9), dim=3, seed=0), expected)


@pytest.mark.parametrize(
    "field", [{"scale": 0.0}, {"scale": -1.0}, {"threshold": 0.0}, {"kind": "cauchy"}, {"std": 1.0}]
)
def test_a_prior_that_cannot_be_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Prior(**field)
