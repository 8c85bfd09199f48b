"""Folding: sigma and norms beside the layers that they replace, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.generators import folded_weights
from copgen.generators.biggan_deep import statistics_at
from copgen.generators.doubling import doubled_kernel, upsample_then_convolve
from copgen.generators.folded_weights import PowerStepWeights, StoredVectorWeights, power_step_sigma
from copgen.generators.norms import AffineNorm, ConditionalNorm


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (4, 9), (1, 1)])
def test_sigma_is_that_of_one_power_step_however_it_is_cut(
    shape: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded_weights, "_CHUNK", chunk)
    weight, u, eps = random(*shape), random(1, shape[0], seed=1), 1e-4
    matrix = weight.flatten(1)
    v = F.normalize(u @ matrix, eps=eps)
    sigma = v @ matrix.T @ F.normalize(v @ matrix.T, eps=eps).T
    weights = PowerStepWeights({"a.weight": weight, "a.u0": u}, eps=eps, dtype=torch.float64)
    assert weights.sigma("a") == pytest.approx(float(sigma), rel=1e-14)
    assert torch.allclose(weights.divided("a"), weight / sigma, rtol=1e-14, atol=0)
    stored = {"a.weight_orig": weight, "a.weight_u": u[0], "a.weight_v": v[0]}
    expected = float(u[0] @ matrix @ v[0])
    assert StoredVectorWeights(stored, dtype=torch.float64, channels_last=False).sigma("a") == pytest.approx(expected)


def test_the_clamp_of_norms_counts_where_vectors_are_small() -> None:
    weight, u = 1e-4 * random(3, 4), random(1, 3, seed=1)
    assert power_step_sigma(weight, u, eps=1.0) < 0.01 * power_step_sigma(weight, u, eps=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_division_rounds_once(dtype: torch.dtype) -> None:
    weight = random(6, 5, 3, 3).float()
    weights = PowerStepWeights({"a.weight": weight, "a.u0": random(1, 6).float()}, eps=1e-4, dtype=dtype)
    folded = weights.conv("a").weight
    assert folded.dtype == dtype
    assert torch.equal(folded, (weight.double() / weights.sigma("a")).to(dtype))
    assert not folded.requires_grad


@pytest.mark.parametrize(("size", "channels"), [(1, (1, 1)), (4, (3, 5)), (7, (5, 2))])
def test_a_doubling_convolution_is_upsampling_and_then_convolving(size: int, channels: tuple[int, int]) -> None:
    into, out = channels
    weight, bias, x = random(out, into, 3, 3), random(out, seed=1), random(2, into, size, size, seed=2)
    found = F.conv_transpose2d(x, doubled_kernel(weight), bias, stride=2, padding=1)
    assert torch.allclose(found, upsample_then_convolve(x, weight, bias), rtol=1e-13, atol=1e-13)
    tensors = {"a.weight": weight, "a.bias": bias, "a.u0": random(1, out, seed=3)}
    weights = PowerStepWeights(tensors, eps=1e-4, dtype=torch.float64, channels_last=True)
    expected = upsample_then_convolve(x, weights.divided("a"), bias)
    assert torch.allclose(weights.doubling_conv("a")(x), expected, rtol=1e-12, atol=1e-12)


def test_a_conditional_norm_is_normalisation_then_gain_and_bias() -> None:
    gain, bias, mean, var = random(5, 3), random(5, 3, seed=1), random(5, seed=2), random(5, seed=3).abs() + 0.1
    x, c = random(2, 5, 4, 4, seed=4), random(2, 3, seed=5)
    plain = F.batch_norm(x, mean, var, eps=1e-3)
    expected = plain * (1 + F.linear(c, gain))[:, :, None, None] + F.linear(c, bias)[:, :, None, None]
    norm = ConditionalNorm(gain, bias, mean, var, eps=1e-3, dtype=torch.float64)
    assert torch.allclose(norm(x, c), expected, rtol=1e-12, atol=1e-12)


def test_an_affine_norm_is_batch_norm_in_evaluation() -> None:
    gain, bias, mean, var = random(5), random(5, seed=1), random(5, seed=2), random(5, seed=3).abs() + 0.1
    x = random(2, 5, 4, 4, seed=4)
    norm = AffineNorm(gain, bias, mean, var, eps=1e-5, dtype=torch.float64)
    assert torch.allclose(norm(x), F.batch_norm(x, mean, var, gain, bias, eps=1e-5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("truncation", "row"),
    [(1.0, 50.0), (0.02, 1.0), (0.5, 25.0), (0.58, 28.0), (0.94, 46.0), (0.14, 8.0), (0.28, 15.0), (0.56, 29.0)],
)
def test_statistics_are_those_of_the_row_that_the_reference_lands_on(truncation: float, row: float) -> None:
    rows = torch.arange(51, dtype=torch.float64)[:, None]
    assert float(statistics_at(rows, truncation)) == pytest.approx(row, abs=1e-9)


def test_between_rows_the_lower_one_is_weighed_by_the_fraction() -> None:
    rows = torch.arange(51, dtype=torch.float64)[:, None]
    # 0.435 lies three quarters of the way from row 21 to row 22; weighed the right way round it would be 21.75.
    assert float(statistics_at(rows, 0.435)) == pytest.approx(21.25)
