"""Colour: torchvision's four adjustments in an order per image, grayscale, and gradients that stay finite."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from copgen.views import draw, policy
from copgen.views.colour import ORDERS, ColourDraw
from copgen.views.hue import turn_hue
from tests.views.images import colour_jitter, drop_colour, random_images

# Each of the four steps may amplify the rounding of the one before, by no more than a small factor.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}


def drawn(n: int, **fixed: Tensor) -> ColourDraw:
    colour = draw(policy("simclr"), seed=2, rows=range(n), stream="view", size=(8, 8)).colour
    return dataclasses.replace(colour, **fixed)


def only(name: str, values: Tensor, order: int = 0) -> ColourDraw:
    """One of the four factors is given, the others are the identity."""
    one = torch.ones_like(values)
    neutral = {"brightness": one, "contrast": one, "saturation": one, "hue": 0 * one}
    true = torch.ones(len(values), dtype=torch.bool)
    orders = torch.full((len(values),), order)
    return ColourDraw(jitter=true, order=orders, grayscale=true, **(neutral | {name: values}))


def torchvisions(images: Tensor, d: ColourDraw) -> Tensor:
    adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    views = []
    for n, image in enumerate(images):
        factors = [values[n].item() for values in (d.brightness, d.contrast, d.saturation, d.hue)]
        view = image
        for step in ORDERS[int(d.order[n])] if d.jitter[n] else ():
            if adjust[step] is not TF.adjust_hue or factors[step] != 0:  # torchvision turns the hue in float32 always
                view = adjust[step](view, factors[step])
        views.append(view)
    return torch.stack(views)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (33, 47), (128, 128)])
def test_it_is_torchvisions_jitter(channels: int, size: tuple[int, int]) -> None:
    images, d = random_images(24, size, channels=channels, dtype=torch.float32), drawn(24)
    assert d.jitter.any()
    assert not d.jitter.all()
    torch.testing.assert_close(colour_jitter(images, d), torchvisions(images, d), rtol=0, atol=1e-5)


def test_each_image_follows_its_own_order() -> None:
    images = random_images(1, (4, 4), dtype=torch.float32).expand(24, -1, -1, -1)
    half = torch.full((24,), 0.6, dtype=torch.float64)
    d = drawn(24, order=torch.arange(24), jitter=torch.ones(24, dtype=torch.bool), brightness=half + 0.8, contrast=half)
    views = colour_jitter(images, d)
    torch.testing.assert_close(views, torchvisions(images, d), rtol=0, atol=1e-5)
    assert len(torch.unique(views.round(decimals=4), dim=0)) > 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("brightness", [0.0, 0.5, 1.0, 2.0]),
        ("contrast", [0.0, 0.5, 1.0, 2.0]),
        ("saturation", [0.0, 0.5, 1.0, 2.0]),
        ("hue", [-0.5, -0.1, 0.0, 0.07, 0.5]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_adjustment_is_torchvisions(name: str, values: list[float], dtype: torch.dtype) -> None:
    images = random_images(len(values), (28, 28), dtype=dtype)
    images[:, :, 0] = images[:, :1, 0]  # grey pixels
    images[:, 0, 1] = images[:, 2, 1]  # ties between channels
    images[:, :, 2] = images[:, :, 2].round()  # pure colours, black and white
    d = only(name, torch.tensor(values, dtype=torch.float64))
    bound = ROUNDING[torch.float32 if name == "hue" else dtype]
    torch.testing.assert_close(colour_jitter(images, d), torchvisions(images, d), rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_whole_turn_in_steps_comes_back(dtype: torch.dtype) -> None:
    images = random_images(2, (8, 8), dtype=dtype)
    turned = images
    for _ in range(5):
        turned = turn_hue(turned, torch.full((2,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(turned, images, rtol=0, atol=ROUNDING[dtype])
    third = turn_hue(images, torch.full((2,), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(third, images.roll(1, dims=1), rtol=0, atol=ROUNDING[dtype])


def test_grayscale_is_torchvisions_and_keeps_the_channels() -> None:
    images = random_images(3, (8, 8))
    d = drawn(3, grayscale=torch.tensor([True, False, True]))
    views = drop_colour(images, d)
    torch.testing.assert_close(views[[0, 2]], TF.rgb_to_grayscale(images, 3)[[0, 2]], rtol=0, atol=1e-12)
    assert torch.equal(views[1], images[1])


def test_saturation_hue_and_grayscale_leave_one_channel_alone() -> None:
    images = random_images(4, (8, 8), channels=1)
    strong = torch.tensor([0.0, 0.1, 0.2, 0.5], dtype=torch.float64)
    for name in ("saturation", "hue"):
        assert torch.equal(colour_jitter(images, only(name, strong)), images)
    assert torch.equal(drop_colour(images, only("hue", strong)), images)


def test_images_without_jitter_are_untouched() -> None:
    images = random_images(4, (8, 8), dtype=torch.float32)
    assert torch.equal(colour_jitter(images, drawn(4, jitter=torch.zeros(4, dtype=torch.bool))), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_the_jitter_are_exact(channels: int) -> None:
    images = (0.25 + 0.3 * random_images(4, (3, 2), channels=channels)).requires_grad_()  # no clamp is met
    d = drawn(4, jitter=torch.tensor([True, True, True, False]))
    assert torch.autograd.gradcheck(lambda x: colour_jitter(x, d), (images,))
    assert torch.autograd.gradcheck(lambda x: drop_colour(x, d), (images,))


def test_gradients_of_the_hue_are_exact() -> None:
    images, turns = random_images(4, (3, 3)).requires_grad_(), torch.tensor([-0.5, -0.1, 0.05, 0.4])
    assert torch.autograd.gradcheck(lambda x: turn_hue(x, turns), (images,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nearly", [0.0, 1e-45, 1e-38, 1e-20, 1e-9, 1e-7])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_are_finite_at_and_near_grey(dtype: torch.dtype, nearly: float, level: float) -> None:
    offsets = torch.tensor([0.0, nearly, 2 * nearly], dtype=dtype)
    images = (level + offsets).expand(24, 2, 2, 3).permute(0, 3, 1, 2).clamp(0, 1).clone().requires_grad_()
    d = drawn(24, order=torch.arange(24), jitter=torch.ones(24, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(colour_jitter(images, d).square().sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 100
