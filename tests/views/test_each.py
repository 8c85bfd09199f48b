"""Views of images of different sizes are those that `augment` makes of each image alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import UsageError
from copgen.views import Policy, augment, augment_each, draw, names, policy
from copgen.views.each import apply_in_parts
from copgen.views.policies import AffinePolicy

POLICIES = [*(policy(name) for name in names()), policy("simclr-blur", affine={})]


def pixels(*sizes: tuple[int, int], channels: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, (channels, *size), dtype=torch.uint8, generator=generator) for size in sizes]


def each(images: list[Tensor], numbers: Policy, first: int = 0) -> Tensor:
    return augment_each(images, numbers, seed=5, rows=range(first, first + len(images)), stream="view")


def alone(images: list[Tensor], numbers: Policy) -> list[Tensor]:
    return [
        augment(from_uint8(image[None]), numbers, seed=5, rows=range(n, n + 1), stream="view")[0]
        for n, image in enumerate(images)
    ]


@pytest.mark.parametrize("numbers", POLICIES, ids=lambda numbers: numbers.name)
@pytest.mark.parametrize("size", [20, 56])
def test_images_of_different_sizes_are_augmented_as_each_alone(numbers: Policy, size: int) -> None:
    numbers = numbers.model_copy(update={"size": size})
    images = pixels((64, 64), (20, 31), (90, 50), (56, 56), (8, 64), (200, 7))
    views = each(images, numbers)
    assert views.shape == (6, 3, size, size)
    for view, expected in zip(views, alone(images, numbers), strict=True):
        if numbers.differentiable:
            torch.testing.assert_close(view, expected, rtol=0, atol=2e-5)
        else:  # rounding to 8 bits makes a whole level of the last bit of a value
            assert (view - expected).abs().mean() < 1e-3


@pytest.mark.parametrize("numbers", POLICIES, ids=lambda numbers: numbers.name)
@pytest.mark.parametrize("sides", [(16, 20), (64, 80)])
@pytest.mark.parametrize("size", [None, 48])
def test_images_of_one_size_are_augmented_exactly_as_their_batch(
    numbers: Policy, sides: tuple[int, int], size: int | None
) -> None:
    numbers = numbers.model_copy(update={"size": size})
    images = pixels(*[sides] * 9)
    batch = augment(from_uint8(torch.stack(images)), numbers, seed=5, rows=range(9), stream="view")
    drawn = draw(numbers, seed=5, rows=range(9), stream="view", size=sides)
    assert torch.equal(apply_in_parts(images, numbers, drawn), batch)


def test_a_view_does_not_depend_on_its_batch() -> None:
    images, numbers = pixels((64, 64), (56, 70), (90, 50), (60, 60)), policy("simclr", size=56)
    torch.testing.assert_close(each(images[2:], numbers, first=2), each(images, numbers)[2:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "numbers", "match"),
    [
        (pixels((8, 8), (8, 9)), policy("mnist"), r"'mnist'.*\(3, 8, 8\).*\(3, 8, 9\)(?s:.*)'size'"),
        (pixels((8, 8), channels=1), policy("simclr"), r"'simclr'.* 3 channels.* 1\b"),
        ([torch.zeros(3, 8, 8)], policy("none"), r"float32.*\(3, 8, 8\)(?s:.*)uint8"),
        ([], policy("none"), r"no image"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: list[Tensor], numbers: Policy, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        each(images, numbers)


def test_one_row_is_needed_for_each_image() -> None:
    with pytest.raises(UsageError, match=r"2 images.* 1 row"):
        augment_each(pixels((8, 8), (8, 8)), policy("none"), seed=0, rows=range(1), stream="view")


def test_an_affine_map_shifts_by_shares_of_each_image() -> None:
    numbers = Policy(name="shift", affine=AffinePolicy(degrees=0, translate=0.5, scale=(1, 1)), size=24)
    images = pixels((60, 60), (24, 90))
    for view, expected in zip(each(images, numbers), alone(images, numbers), strict=True):
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-6)
