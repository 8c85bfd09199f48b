"""Crop, flip and resize equal torchvision's image by image, with and without antialiasing."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from copgen.views import draw, policy
from copgen.views.crop import CropDraw, crop, resize_matrix
from tests.views.images import random_images, rounding


def drawn(n: int, size: tuple[int, int]) -> CropDraw:
    return draw(policy("simclr"), seed=1, rows=range(n), stream="view", size=size).crop


def whole(n: int, size: tuple[int, int], *, flip: bool = False) -> CropDraw:
    zero = torch.zeros(n, dtype=torch.int64)
    return CropDraw(top=zero, left=zero, height=zero + size[0], width=zero + size[1], flip=zero.bool() | flip)


def torchvisions(images: Tensor, d: CropDraw, size: tuple[int, int], antialias: bool) -> Tensor:
    views = []
    for n, image in enumerate(images):
        box = [int(side[n]) for side in (d.top, d.left, d.height, d.width)]
        view = TF.resized_crop(image, *box, list(size), TF.InterpolationMode.BILINEAR, antialias)
        views.append(TF.hflip(view) if d.flip[n] else view)
    return torch.stack(views)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", [(8, 8), (28, 28), (33, 47), (128, 128)])
@pytest.mark.parametrize("outputs", [None, (5, 5), (40, 40)])
def test_it_is_torchvisions_resized_crop(
    antialias: bool, dtype: torch.dtype, inputs: tuple[int, int], outputs: tuple[int, int] | None
) -> None:
    images, d, size = random_images(6, inputs, dtype=dtype), drawn(6, inputs), outputs or inputs
    assert d.flip.any()
    assert not d.flip.all()
    views = crop(images, d, size=size, antialias=antialias)
    assert views.dtype == dtype
    expected = torchvisions(images, d, size, antialias)
    torch.testing.assert_close(views, expected, rtol=0, atol=rounding(dtype, inputs))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_the_whole_image_at_its_own_size_is_the_image_or_its_mirror(antialias: bool, flip: bool) -> None:
    images = random_images(3, (33, 47), dtype=torch.float32)
    views = crop(images, whole(3, (33, 47), flip=flip), size=(33, 47), antialias=antialias)
    assert torch.equal(views, images.flip(3) if flip else images)


@pytest.mark.parametrize("antialias", [False, True])
def test_pixels_outside_the_box_do_not_count(antialias: bool) -> None:
    images, d = random_images(20, (12, 12)), drawn(20, (12, 12))
    for n in range(20):
        inside = torch.zeros(12, 12, dtype=torch.bool)
        inside[d.top[n] : d.top[n] + d.height[n], d.left[n] : d.left[n] + d.width[n]] = True
        images[n, :, ~inside] = 1e6
    views = crop(images, d, size=(12, 12), antialias=antialias)
    assert (views <= 1).all()


@pytest.mark.parametrize("antialias", [False, True])
def test_weights_sum_to_one_down_to_boxes_of_one_pixel(antialias: bool) -> None:
    start, length = torch.tensor([0, 8, 4, 0]), torch.tensor([1, 1, 3, 9])
    for outputs in (1, 2, 9, 20):
        weights = resize_matrix(start, length, inputs=9, outputs=outputs, antialias=antialias)
        assert weights.shape == (4, outputs, 9)
        torch.testing.assert_close(weights.sum(2), torch.ones(4, outputs, dtype=torch.float64))


def test_only_antialiasing_lets_every_pixel_of_a_shrunk_image_count() -> None:
    unseen = {}
    for antialias in (False, True):
        images = random_images(1, (32, 32)).requires_grad_()
        views = crop(images, whole(1, (32, 32)), size=(8, 8), antialias=antialias)
        (gradient,) = torch.autograd.grad(views.sum(), images)
        unseen[antialias] = int((gradient == 0).sum())
    assert unseen[True] == 0
    assert unseen[False] > 0


@pytest.mark.parametrize("antialias", [False, True])
def test_gradients_are_exact(antialias: bool) -> None:
    images, d = random_images(3, (6, 5), channels=2).requires_grad_(), drawn(3, (6, 5))
    assert torch.autograd.gradcheck(lambda x: crop(x, d, size=(4, 7), antialias=antialias), (images,))
