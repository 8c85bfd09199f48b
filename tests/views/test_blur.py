"""Blur equals torchvision's image by image; images that are not blurred are unchanged."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as TF

from copgen.views import draw, policy
from copgen.views.blur import BlurDraw, blur, blur_matrix
from tests.views.images import random_images


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(8, 8), (28, 33), (128, 128)])
def test_it_is_torchvisions_gaussian_blur(dtype: torch.dtype, size: tuple[int, int]) -> None:
    images = random_images(6, size, dtype=dtype)
    drawn = draw(policy("simclr-blur"), seed=3, rows=range(6), stream="view", size=size).blur
    assert drawn.happens.any()
    assert not drawn.happens.all()
    blurred = blur(images, drawn, kernel=0.4)
    taps = [2 * int(0.2 * side) + 1 for side in reversed(size)]
    for image, view, happens, sigma in zip(images, blurred, drawn.happens, drawn.sigma.tolist(), strict=True):
        expected = TF.gaussian_blur(image, taps, [sigma, sigma]) if happens else image
        bound = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(view, expected, rtol=0, atol=bound)
        assert happens or torch.equal(view, image)


@pytest.mark.parametrize(("pixels", "taps"), [(128, 13), (224, 23), (32, 3), (8, 1)])
def test_the_filter_of_simclr_has_a_tenth_of_the_side(pixels: int, taps: int) -> None:
    wide = BlurDraw(happens=torch.tensor([True]), sigma=torch.tensor([100.0], dtype=torch.float64))
    image = torch.zeros(1, 1, pixels, pixels, dtype=torch.float64)
    image[..., pixels // 2, pixels // 2] = 1
    kernel = policy("simclr-blur").blur
    assert kernel is not None
    assert int((blur(image, wide, kernel=kernel.kernel) > 0).sum()) == taps**2


def test_weights_sum_to_one_and_mirror_at_the_ends() -> None:
    weights = blur_matrix(torch.tensor([0.1, 1.0, 2.0], dtype=torch.float64), pixels=9, radius=4)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 9, dtype=torch.float64))
    assert weights[1, 0, 1] == pytest.approx(2 * weights[1, 4, 5].item())
