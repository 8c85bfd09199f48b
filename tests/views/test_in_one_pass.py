"""The native pass makes the views of the reference, up to rounding, and refuses wrong arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.runtime.dispatch import choose
from copgen.views import Draw, Policy, apply, draw, names, policy
from copgen.views.each import apply_in_parts
from copgen.views.in_one_pass import apply_in_one_pass, is_possible
from tests.views.test_each import pixels

CHOICE = choose("views", torch.device("cpu"), torch.uint8)
pytestmark = pytest.mark.skipif(CHOICE.name != "native", reason=CHOICE.reason)
SIZES = ((64, 64), (20, 31), (90, 50), (56, 56), (8, 64), (200, 7), (1, 1), (128, 128), (37, 41))


def made(numbers: Policy, *, channels: int = 3) -> tuple[list[Tensor], Draw]:
    images = pixels(*SIZES, channels=channels)
    sizes = torch.tensor([image.shape[1:] for image in images])
    return images, draw(numbers, seed=5, rows=range(len(images)), stream="view", size=sizes)


@pytest.mark.parametrize("name", [name for name in names() if policy(name).affine is None])
@pytest.mark.parametrize("size", [5, 48, 130])
def test_views_are_those_of_the_reference(name: str, size: int) -> None:
    numbers = policy(name, size=size)
    images, drawn = made(numbers)
    ours, reference = apply_in_one_pass(images, numbers, drawn), apply_in_parts(images, numbers, drawn)
    assert ours.dtype == torch.float32
    assert ours.shape == reference.shape
    if numbers.differentiable:
        torch.testing.assert_close(ours, reference, rtol=0, atol=5e-5)  # 1e-5 in [0, 1], divided by the std
    else:  # rounding to 8 bits makes a whole level of the last bit of a value
        assert (ours - reference).abs().mean() < 2e-3


@pytest.mark.parametrize("seed", range(4))
def test_every_order_and_factor_is_that_of_float64(seed: int) -> None:
    numbers = policy("simclr", jitter={"probability": 1, "hue": 0.5, "brightness": 1, "contrast": 1}, normalise=None)
    images = pixels(*[(40, 44)] * 24)
    drawn = draw(numbers, seed=seed, rows=range(24), stream="view", size=(40, 44))
    ours = apply_in_one_pass(images, numbers, drawn).double()
    exact = apply(torch.stack(images).double() / 127.5 - 1.0, numbers, drawn)
    # At a kink of the hue a difference of one bit may be multiplied by the contrast of the channels.
    torch.testing.assert_close(ours, exact, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["none", "simclr"])
def test_one_channel_takes_the_parts_that_have_a_meaning(name: str) -> None:
    numbers = policy(name, normalise={"mean": (0.5,), "std": (0.25,)}, size=48)
    images, drawn = made(numbers, channels=1)
    reference = apply_in_parts(images, numbers, drawn)
    torch.testing.assert_close(apply_in_one_pass(images, numbers, drawn), reference, rtol=0, atol=5e-5)


def test_an_image_of_the_views_size_is_unchanged() -> None:
    numbers = Policy(name="still")
    images = pixels((33, 47), (33, 47))
    drawn = draw(numbers, seed=0, rows=range(2), stream="view", size=(33, 47))
    made = apply_in_one_pass(images, numbers, drawn)
    torch.testing.assert_close(made, torch.stack(images) / 255, rtol=0, atol=6e-8)


def test_a_view_has_the_same_bits_in_any_batch_and_memory_layout() -> None:
    numbers = policy("simclr", size=48)
    images, drawn = made(numbers)
    whole = apply_in_one_pass(images, numbers, drawn)
    for n, image in enumerate(images):
        channels_last = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        assert torch.equal(apply_in_one_pass([channels_last], numbers, drawn.row(n))[0], whole[n])


def test_affine_maps_and_other_devices_are_left_to_the_reference() -> None:
    images = pixels((8, 8))
    assert is_possible(images, policy("simclr"))
    assert not is_possible(images, policy("mnist"))
    assert not is_possible(pixels((8, 8), channels=4), policy("none"))
    assert not is_possible([torch.zeros(3, 8, 8, dtype=torch.uint8, device="meta")], policy("simclr"))


def arguments() -> dict[str, Any]:
    return {
        "images": pixels((8, 8), (9, 7)),
        "boxes": torch.tensor([[0, 0, 8, 8, 0], [1, 1, 8, 6, 1]]),
        "steps": torch.tensor([[0, 4], [-1, 3]]),
        "factors": torch.ones(2, 4, dtype=torch.float64),
        "height": 4,
        "width": 4,
        "antialias": True,
        "scale": [1.0, 1.0, 1.0],
        "shift": [0.0, 0.0, 0.0],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", []),
        ("images", pixels((8, 8))),
        ("images", [torch.zeros(3, 8, 8), torch.zeros(3, 9, 7)]),
        ("images", [*pixels((8, 8)), *pixels((9, 7), channels=1)]),
        ("images", pixels((8, 8), (9, 7), channels=2)),
        ("boxes", torch.tensor([[0, 0, 8, 8, 0], [1, 1, 9, 6, 1]])),
        ("boxes", torch.tensor([[0, 0, 8, 8, 0], [1, -1, 8, 6, 1]])),
        ("boxes", torch.tensor([[0, 0, 8, 0, 0], [1, 1, 8, 6, 1]])),
        ("boxes", torch.tensor([[2**62, 0, 2**62, 8, 0], [1, 1, 8, 6, 1]])),
        ("boxes", torch.zeros(2, 5)),
        ("steps", torch.tensor([[0, 5], [0, 0]])),
        ("steps", torch.tensor([[0, -2], [0, 0]])),
        ("factors", torch.ones(2, 3, dtype=torch.float64)),
        ("factors", torch.ones(2, 4)),
        ("height", 0),
        ("scale", [1.0]),
    ],
)
def test_wrong_arguments_are_refused(name: str, value: object) -> None:
    call: Any = torch.ops.copgen.augment_images.default
    assert call(*arguments().values()).shape == (2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"\w"):
        call(*(arguments() | {name: value}).values())
