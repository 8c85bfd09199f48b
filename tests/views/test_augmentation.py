"""T_x: a function of the row, in the policy's value range, differentiable, and `plain` where nothing is random."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from copgen.runtime.errors import UsageError
from copgen.views import Policy, apply, augment, draw, names, plain, policy
from copgen.views.affine import affine
from copgen.views.colour import ORDERS
from copgen.views.crop import crop
from copgen.views.policies import CropPolicy, JitterPolicy, Normalisation
from tests.views.images import colour_jitter, drop_colour, random_images


def generated(n: int, size: tuple[int, int] = (16, 16), **kind: int) -> Tensor:
    """Images like a generator's, float32 in [-1, 1]."""
    return 2 * random_images(n, size, dtype=torch.float32, **kind) - 1


def views(images: Tensor, numbers: Policy, rows: range | None = None, stream: str = "view/anchor") -> Tensor:
    return augment(images, numbers, seed=5, rows=rows or range(len(images)), stream=stream)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("cut", [1, 4, 7])
def test_a_view_does_not_depend_on_its_batch(name: str, cut: int) -> None:
    images = generated(8)
    whole = views(images, policy(name), range(100, 108))
    parts = (
        views(images[:cut], policy(name), range(100, 100 + cut)),
        views(images[cut:], policy(name), range(100 + cut, 108)),
    )
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["mnist", "simclr"])
def test_two_streams_make_two_views(name: str) -> None:
    images = generated(4)
    anchor, positive = (views(images, policy(name), stream=f"view/{side}") for side in ("anchor", "positive"))
    assert ((anchor - positive).flatten(1).abs().amax(1) > 0.01).all()


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [None, 20])
def test_simclr_is_torchvisions_pipeline(antialias: bool, size: int | None) -> None:
    images, numbers = (
        generated(12, (24, 31)),
        policy("simclr").model_copy(update={"antialias": antialias, "size": size}),
    )
    drawn = draw(numbers, seed=5, rows=range(12), stream="view/anchor", size=(24, 31))
    out = [24, 31] if size is None else [size, size]
    ours = views(images, numbers)
    assert ours.shape == (12, 3, *out)
    adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for n in range(12):
        box, colour = drawn.crop, drawn.colour
        corner_and_sides = [int(side[n]) for side in (box.top, box.left, box.height, box.width)]
        view = TF.resized_crop((images[n] + 1) / 2, *corner_and_sides, out, TF.InterpolationMode.BILINEAR, antialias)
        view = TF.hflip(view) if box.flip[n] else view
        factors = [v[n].item() for v in (colour.brightness, colour.contrast, colour.saturation, colour.hue)]
        for step in ORDERS[int(colour.order[n])] if colour.jitter[n] else ():
            view = adjust[step](view, factors[step])
        view = TF.rgb_to_grayscale(view, 3) if colour.grayscale[n] else view
        view = TF.normalize(view, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        torch.testing.assert_close(ours[n], view, rtol=0, atol=5e-5)  # 1e-5 in [0, 1], divided by the std


def test_the_digits_stay_in_the_unit_interval_on_a_black_ground() -> None:
    images = torch.full((50, 1, 8, 8), -1.0)
    images[:, :, 3:5, 3:5] = 1.0
    made = views(images, policy("mnist"))
    assert made.min() >= 0
    assert made.max() <= 1
    assert (made[:, :, [0, -1]] == 0).all()


@pytest.mark.parametrize("name", names())
def test_plain_is_the_view_without_chance(name: str) -> None:
    images, numbers = generated(3), policy(name)
    unit = (images + 1) / 2
    expected = unit if numbers.normalise is None else TF.normalize(unit, numbers.normalise.mean, numbers.normalise.std)
    torch.testing.assert_close(plain(images, numbers), expected)
    still = Policy(name="still", normalise=numbers.normalise)
    assert torch.equal(views(images, still), plain(images, numbers))


def test_parts_that_change_nothing_give_the_plain_image() -> None:
    images = generated(3)
    still = Policy(
        name="still",
        crop=CropPolicy(area=(1, 1), aspect=(1, 1)),
        jitter=JitterPolicy(probability=1, brightness=0, contrast=0, saturation=0, hue=0),
    )
    torch.testing.assert_close(views(images, still), plain(images, still), rtol=0, atol=1e-6)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_size_and_flip_work_without_a_crop(flip: float) -> None:
    images = generated(2, (16, 12))
    made = views(images, Policy(name="resize", flip=flip, size=6))
    expected = TF.resize((images + 1) / 2, [6, 6], antialias=True)
    torch.testing.assert_close(made, TF.hflip(expected) if flip else expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "channels"), [("mnist", 1), ("mnist", 3), ("simclr", 3)])
def test_gradients_are_exact_through_the_whole(name: str, channels: int) -> None:
    images = (0.2 * random_images(3, (3, 3), channels=channels)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: views(x, policy(name)), (images,))


def test_one_channel_takes_jitter_where_it_has_a_meaning() -> None:
    numbers = Policy(
        name="grey", jitter=JitterPolicy(probability=1), grayscale=0.5, normalise=Normalisation(mean=(0.5,), std=(0.5,))
    )
    made = views(generated(4, channels=1), numbers)
    assert made.shape == (4, 1, 16, 16)
    assert (made - plain(generated(4, channels=1), numbers)).abs().max() > 0.05


@pytest.mark.parametrize(
    ("images", "numbers", "rows", "match"),
    [
        (torch.zeros(2, 1, 4, 4), policy("simclr"), range(2), r"'simclr'.* 3 channels.* 1\b.*'normalise'"),
        (torch.zeros(2, 2, 4, 4), Policy(name="odd", grayscale=0.5), range(2), r"'odd'.* 2\b.*grayscale"),
        (torch.zeros(3, 4, 4), policy("mnist"), range(3), r"\(3, 4, 4\).*\(N, C, H, W\)"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.bfloat16), policy("mnist"), range(2), r"bfloat16.*float32"),
        (torch.zeros(2, 1, 4, 4), policy("mnist"), range(3), r"2 images.* 3 row"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: Tensor, numbers: Policy, rows: range, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        augment(images, numbers, seed=0, rows=rows, stream="view")


def test_autocast_around_it_does_not_coarsen_the_views() -> None:
    images = generated(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = views(images, policy("simclr"))
    assert torch.equal(coarse, views(images, policy("simclr")))


def test_a_policy_and_its_draw_make_the_view() -> None:
    images = generated(3)
    drawn = draw(policy("simclr"), seed=5, rows=range(3), stream="view/anchor", size=(16, 16))
    assert torch.equal(apply(images, policy("simclr"), drawn), views(images, policy("simclr")))


def test_everything_is_made_on_the_images_device() -> None:
    elsewhere = torch.zeros(2, 3, 8, 8, device="meta")
    drawn = draw(policy("simclr"), seed=0, rows=range(2), stream="view", size=(8, 8), device="meta")
    parts = (
        affine(elsewhere, drawn.affine),
        crop(elsewhere, drawn.crop, size=(8, 8), antialias=True),
        colour_jitter(elsewhere, drawn.colour),
        drop_colour(elsewhere, drawn.colour),
        plain(elsewhere, policy("simclr")),
    )
    assert all(part.device.type == "meta" for part in parts)


def test_the_centre_is_torchvisions_resized_to_the_image() -> None:
    images = generated(2, (128, 128))
    made = views(images, policy("centre", normalise=None))
    expected = TF.resize(TF.center_crop((images + 1) / 2, [112, 112]), [128, 128], antialias=True)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)
