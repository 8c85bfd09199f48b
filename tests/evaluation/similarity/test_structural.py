"""MS-SSIM against a second implementation from the published definition: loops over windows, NumPy, float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen.evaluation.similarity.structural import EXPONENTS, StructuralSimilarity, ms_ssim, scales
from copgen.runtime.errors import UsageError


def window_means(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of every whole window of an image (H, W)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, weights.shape)
    return np.asarray((windows * weights).sum(axis=(2, 3)))


def reference(x: np.ndarray, y: np.ndarray, *, levels: int) -> float:
    """MS-SSIM of images (C, H, W) in [-1, 1]."""
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:levels]
    exponents /= exponents.sum()
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    result = 1.0
    for level, exponent in enumerate(exponents):
        size = min(11, min(x.shape[1:]) - (min(x.shape[1:]) + 1) % 2)
        at = np.arange(size) - size // 2
        gauss = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
        gauss /= gauss.sum()
        values = []
        for a, b in zip(x, y, strict=True):
            mean_a, mean_b = window_means(a, gauss), window_means(b, gauss)
            var_a = window_means(a * a, gauss) - mean_a**2
            var_b = window_means(b * b, gauss) - mean_b**2
            both = window_means(a * b, gauss) - mean_a * mean_b
            value = (2 * both + c2) / (var_a + var_b + c2)
            if level == levels - 1:
                value = value * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
            values.append(value.mean())
        mean = float(np.mean(values))
        result *= mean if levels == 1 else max(mean, 0.0) ** exponent
        high, wide = x.shape[1] // 2, x.shape[2] // 2
        x, y = (one[:, : 2 * high, : 2 * wide].reshape(len(one), high, 2, wide, 2).mean(axis=(2, 4)) for one in (x, y))
    return float(result)


def images(count: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Smooth images and changed copies of them, in [-1, 1]."""
    torch.manual_seed(sum(shape))
    x = torch.randn(count, *shape).cumsum(2).cumsum(3) / shape[1]
    x = x.clamp(-1, 1)
    return x, (x + torch.linspace(0, 0.5, count).view(-1, 1, 1, 1) * torch.randn(count, *shape)).clamp(-1, 1)


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((1, 8, 8), 1), ((3, 9, 14), 1), ((1, 16, 16), 1), ((3, 28, 28), 2), ((1, 64, 51), 3), ((3, 128, 128), 4)],
)
def test_it_is_the_published_measure_at_the_scales_that_fit(shape: tuple[int, int, int], levels: int) -> None:
    x, y = images(3, *shape)
    assert scales(min(shape[1:])) == levels
    wanted = [reference(a.double().numpy(), b.double().numpy(), levels=levels) for a, b in zip(x, y, strict=True)]
    assert ms_ssim(x.double(), y.double()).tolist() == pytest.approx(wanted, abs=1e-12)
    found = StructuralSimilarity()(x, y)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)


def test_all_five_scales_from_176_pixels_on() -> None:
    assert [scales(side) for side in (175, 176, 1024)] == [4, 5, 5]
    x, y = images(1, 1, 176, 180)
    wanted = reference(x[0].double().numpy(), y[0].double().numpy(), levels=len(EXPONENTS))
    assert ms_ssim(x.double(), y.double()).item() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("side", [8, 32, 100])
def test_equal_images_have_one_and_more_change_has_less(side: int) -> None:
    x, y = images(6, 3, side, side)
    assert ms_ssim(x, x).tolist() == pytest.approx([1.0] * 6, abs=1e-6)
    flat = torch.full((2, 1, side, side), -1.0)
    assert ms_ssim(flat, flat).tolist() == pytest.approx([1.0] * 2, abs=1e-6)
    mean = float(ms_ssim(x, y).mean())
    assert 0.0 <= mean < 1.0
    further = ms_ssim(x, (x + 2 * (y - x)).clamp(-1, 1))
    assert float(further.mean()) < mean


def test_opposite_images_have_none_and_less_at_a_single_scale() -> None:
    x, _ = images(2, 1, 32, 32)
    assert ms_ssim(x, -x).tolist() == [0.0, 0.0]
    pattern = torch.ones(1, 1, 8, 8)
    pattern[..., ::2] = -1
    assert ms_ssim(pattern, -pattern).item() < 0.0


def test_it_can_be_differentiated() -> None:
    x, y = images(2, 1, 32, 32)
    y.requires_grad_()
    (gradient,) = torch.autograd.grad(ms_ssim(x, y).sum(), y)
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().sum()) > 0


def test_tiny_images_are_refused() -> None:
    with pytest.raises(UsageError, match="8 pixels"):
        ms_ssim(torch.zeros(1, 1, 7, 20), torch.zeros(1, 1, 7, 20))


@pytest.mark.parametrize("side", [8, 22, 48])
def test_the_gradient_is_finite_also_for_opposite_images(side: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 1, side, side) * 2 - 1
    y = torch.stack((-x[0], x[1], torch.zeros_like(x[2]))).requires_grad_()
    found = ms_ssim(x, y)
    (gradient,) = torch.autograd.grad(found.sum(), y)
    assert gradient.isfinite().all()
    assert side < 22 or found[0].item() == 0.0
