"""The affine map equals torchvision's, except at a partly covered border, where torchvision applies the fill twice."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from copgen.views import draw, policy
from copgen.views.affine import AffineDraw, affine
from copgen.views.policies import AffinePolicy
from tests.views.images import random_images, rounding

SIZES = [(8, 8), (28, 28), (33, 47), (128, 128)]
STRONG = AffinePolicy(degrees=180, translate=0.4, scale=(0.5, 2.0))


def drawn(numbers: AffinePolicy, n: int, size: tuple[int, int]) -> AffineDraw:
    whole = policy("mnist").model_copy(update={"affine": numbers})
    return draw(whole, seed=3, rows=range(n), stream="view", size=size).affine


def torchvisions(images: Tensor, d: AffineDraw, fill: float | None = None) -> Tensor:
    maps = zip(d.angle.tolist(), d.shift_x.tolist(), d.shift_y.tolist(), d.scale.tolist(), strict=True)
    return torch.stack(
        [
            TF.affine(image, angle, [x, y], scale, 0.0, TF.InterpolationMode.BILINEAR, fill)
            for image, (angle, x, y, scale) in zip(images, maps, strict=True)
        ]
    )


@pytest.mark.parametrize("numbers", [AffinePolicy(), STRONG], ids=["mnist", "strong"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_torchvisions_affine(numbers: AffinePolicy, size: tuple[int, int], dtype: torch.dtype) -> None:
    images, d = random_images(6, size, dtype=dtype), drawn(numbers, 6, size)
    assert affine(images, d).dtype == dtype
    bound = rounding(dtype, size)
    torch.testing.assert_close(affine(images, d), torchvisions(images, d), rtol=0, atol=bound)
    shifted = torchvisions(images - 0.3, d) + 0.3
    torch.testing.assert_close(affine(images, d, fill=0.3), shifted, rtol=0, atol=bound)


@pytest.mark.parametrize("size", SIZES)
def test_fill_is_torchvisions_wherever_a_pixel_lies_inside_or_outside(size: tuple[int, int]) -> None:
    images, d = random_images(6, size), drawn(STRONG, 6, size)
    covered = torchvisions(torch.ones_like(images), d)
    clear = (covered < 1e-12) | (covered > 1 - 1e-12)
    assert (covered < 1e-12).any()
    ours, theirs = affine(images, d, fill=0.7), torchvisions(images, d, fill=0.7)
    torch.testing.assert_close(ours[clear], theirs[clear], rtol=0, atol=rounding(images.dtype, size))


@pytest.mark.parametrize("fill", [0.0, 0.25, 1.0])
def test_an_image_of_the_fill_value_stays_as_it_is(fill: float) -> None:
    images = torch.full((5, 1, 9, 9), fill, dtype=torch.float64)
    torch.testing.assert_close(affine(images, drawn(STRONG, 5, (9, 9)), fill=fill), images, rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", SIZES)
def test_identity_parameters_give_the_image(size: tuple[int, int]) -> None:
    images = random_images(2, size, dtype=torch.float32)
    identity = drawn(AffinePolicy(degrees=0, translate=0, scale=(1, 1)), 2, size)
    torch.testing.assert_close(affine(images, identity), images, rtol=0, atol=rounding(images.dtype, size))


def test_shifts_are_not_rounded_to_whole_pixels() -> None:
    image = torch.zeros(1, 1, 3, 5, dtype=torch.float64)
    image[0, 0, 1, 2] = 1.0
    zero = torch.zeros(1, dtype=torch.float64)
    moved = affine(image, AffineDraw(angle=zero, shift_x=zero + 0.25, shift_y=zero, scale=zero + 1))
    torch.testing.assert_close(moved[0, 0, 1], torch.tensor([0, 0, 0.75, 0.25, 0], dtype=torch.float64))


def test_gradients_are_exact() -> None:
    images, d = random_images(3, (5, 4), channels=2).requires_grad_(), drawn(AffinePolicy(), 3, (5, 4))
    assert torch.autograd.gradcheck(lambda x: affine(x, d, fill=0.2), (images,))
