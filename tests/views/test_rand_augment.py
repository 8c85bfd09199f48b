"""RandAugment's operations are PIL's, as timm calls them; their draws follow the policy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from copgen.runtime.errors import UsageError
from copgen.views import augment, draw, policy
from copgen.views.rand_augment import OPERATIONS, Operation, RandAugmentDraw, operations, rand_augment
from tests.views.images import random_images

FILL = (124 / 255, 116 / 255, 104 / 255)


def smooth(n: int = 4, size: tuple[int, int] = (40, 48)) -> Tensor:
    """Images of whole 8-bit levels, smooth enough that half a pixel is little."""
    coarse = random_images(n, (6, 6), dtype=torch.float32)
    images = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0.1, 0.95)
    return (images * 255).round() / 255


def by_pil(image: Tensor, name: str, level: float, sign: float) -> Tensor:
    """The operation with the formulas of timm's levels, written for PIL."""
    picture, strength = TF.to_pil_image(image), sign * level / 10
    width, height = picture.size

    def transformed(*coefficients: float) -> Image.Image:
        kind, fill = Image.Transform.AFFINE, (124, 116, 104)
        moved: Image.Image = picture.transform(
            picture.size, kind, coefficients, Image.Resampling.BILINEAR, fillcolor=fill
        )
        return moved

    match name:
        case "autocontrast" | "equalize" | "invert":
            picture = getattr(ImageOps, name)(picture)
        case "rotate":
            picture = picture.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=(124, 116, 104))
        case "posterize":
            bits = int(level / 10 * 4)
            picture = ImageOps.posterize(picture, bits) if bits else picture.point(lambda _: 0)
        case "solarize":
            picture = ImageOps.solarize(picture, int(level / 10 * 256))
        case "solarize-add":
            picture = picture.point([min(255, k + int(level / 10 * 110)) if k < 128 else k for k in range(256)] * 3)
        case "colour" | "contrast" | "brightness" | "sharpness":
            kind = {"colour": "Color"}.get(name, name.capitalize())
            picture = getattr(ImageEnhance, kind)(picture).enhance(level / 10 * 1.8 + 0.1)
        case "shear-x":
            picture = transformed(1, 0.3 * strength, 0, 0, 1, 0)
        case "shear-y":
            picture = transformed(1, 0, 0, 0.3 * strength, 1, 0)
        case "translate-x":
            picture = transformed(1, 0, 0.45 * strength * width, 0, 1, 0)
        case "translate-y":
            picture = transformed(1, 0, 0, 0, 1, 0.45 * strength * height)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255


def one(name: str, level: float, sign: float, n: int) -> RandAugmentDraw:
    ones = torch.ones(n, 1, dtype=torch.float64)
    number = OPERATIONS.index(name)
    return RandAugmentDraw(operation=number * ones.long(), happens=ones.bool(), level=level * ones, sign=sign * ones)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("level", "sign"), [(10.0, 1.0), (10.0, -1.0), (7.3, 1.0), (0.0, -1.0)])
def test_every_operation_is_pils(name: str, level: float, sign: float) -> None:
    images = smooth()
    ours = rand_augment(images, one(name, level, sign, len(images)), fill=FILL)
    theirs = torch.stack([by_pil(image, name, level, sign) for image in images])
    levels = (ours - theirs).abs() * 255
    assert levels.mean() <= 1
    assert (levels > 1.01).double().mean() < 0.005  # the edge of a rotated or sheared image


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_changes_an_image_at_some_level(name: str) -> None:
    images = smooth()
    changes = [(rand_augment(images, one(name, level, 1.0, 4), fill=FILL) - images).abs().max() for level in (4, 10)]
    assert max(changes) > 0.02


def test_images_without_an_operation_are_not_rounded() -> None:
    images = random_images(2, (9, 9))
    drawn = one("invert", 10, 1, 2)
    drawn.happens[1] = False
    made = rand_augment(images, drawn, fill=FILL)
    assert torch.equal(made[1], images[1])
    assert (made[0] - (1 - images[0])).abs().max() < 0.51 / 255


def test_operations_run_in_order() -> None:
    images = smooth(2)
    first, second = one("translate-x", 10, 1, 2), one("invert", 10, 1, 2)
    fields = ("operation", "happens", "level", "sign")
    both = RandAugmentDraw(**{f: torch.cat((getattr(first, f), getattr(second, f)), dim=1) for f in fields})
    expected = rand_augment(rand_augment(images, first, fill=FILL), second, fill=FILL)
    assert torch.equal(rand_augment(images, both, fill=FILL), expected)
    assert operations(both)[0] == [Operation("translate-x", 10, 1), Operation("invert", 10, 1)]


def test_draws_follow_the_policy() -> None:
    n = 6000
    drawn = draw(policy("infomin"), seed=0, rows=range(n), stream="view", size=(8, 8)).rand_augment
    assert drawn.operation.shape == (n, 2)
    counts = torch.bincount(drawn.operation.flatten(), minlength=15)
    assert len(counts) == 15
    assert (((counts - 2 * n / 15) ** 2) / (2 * n / 15)).sum() < 38  # chi-squared, 14 degrees of freedom: 5e-4
    assert abs(drawn.happens.double().mean() - 0.5) < 4 * 0.5 / math.sqrt(2 * n)
    assert abs(drawn.sign.mean()) < 4 / math.sqrt(2 * n)
    # A normal around 10 with deviation 1/2, clipped at 10.
    assert abs((drawn.level == 10).double().mean() - 0.5) < 4 * 0.5 / math.sqrt(2 * n)
    assert abs((drawn.level < 9.5).double().mean() - 0.1587) < 4 * 0.366 / math.sqrt(2 * n)


def test_rand_augment_leaves_the_other_draws_as_they_were() -> None:
    numbers = (policy("infomin"), policy("infomin", rand_augment=None))
    with_it, without = (draw(part, seed=0, rows=range(20), stream="view", size=(8, 8)) for part in numbers)
    assert torch.equal(with_it.crop.top, without.crop.top)
    assert torch.equal(with_it.colour.order, without.colour.order)
    assert without.rand_augment.operation.shape == (20, 0)


def test_grayscale_comes_after_rand_augment() -> None:
    images = 2 * smooth(8) - 1
    made = augment(images, policy("infomin", grayscale=1, normalise=None), seed=0, rows=range(8), stream="view")
    assert (made[:, 0] - made[:, 1]).abs().max() < 1e-6


def test_images_that_need_a_gradient_are_refused() -> None:
    images = smooth(1).requires_grad_()
    with pytest.raises(UsageError, match=r"'infomin'.*RandAugment(?s:.*)simclr-blur"):
        augment(images, policy("infomin"), seed=0, rows=range(1), stream="view")


def test_one_value_outside_is_needed_for_each_channel() -> None:
    images = torch.zeros(1, 1, 8, 8)
    with pytest.raises(UsageError, match=r"'infomin'.* 3 channels.* 1\b(?s:.*)rand_augment.fill"):
        augment(images, policy("infomin"), seed=0, rows=range(1), stream="view")
