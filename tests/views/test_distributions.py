"""The draws have torchvision's distributions: two samples of Kolmogorov and Smirnov, and the orders of the jitter."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import ColorJitter, GaussianBlur, RandomAffine, RandomResizedCrop

from copgen.views import draw, policy
from copgen.views.colour import ORDERS

N = 3000
FULL = policy("simclr-blur", affine={})


def distance(a: Tensor, b: Tensor) -> float:
    """The largest distance between the two distribution functions, in units of that exceeded with probability 1e-3."""
    values = torch.cat((a, b)).double().sort().values
    shares = [torch.searchsorted(x.double().sort().values, values, right=True) / len(x) for x in (a, b)]
    bound = math.sqrt(-0.5 * math.log(1e-3 / 2) * (len(a) + len(b)) / (len(a) * len(b)))
    return (shares[0] - shares[1]).abs().max().item() / bound


def theirs(make: Callable[[], object]) -> Tensor:
    """N draws of torchvision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.tensor([make() for _ in range(N)], dtype=torch.float64)


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (375, 500)])
@pytest.mark.parametrize("area", [(0.2, 1.0), (0.08, 1.0)])
def test_area_aspect_and_position_of_crops(size: tuple[int, int], area: tuple[float, float]) -> None:
    box = draw(policy("simclr", crop={"area": area}), seed=0, rows=range(N), stream="view", size=size).crop
    ours = torch.stack((box.top, box.left, box.height, box.width), dim=1).double()
    image = torch.empty(1, *size)
    boxes = theirs(lambda: RandomResizedCrop.get_params(image, list(area), [3 / 4, 4 / 3]))
    measures: dict[str, Callable[[Tensor], Tensor]] = {
        "area": lambda b: b[:, 2] * b[:, 3],
        "aspect": lambda b: b[:, 3] / b[:, 2],
        "top": lambda b: b[:, 0],
        "left": lambda b: b[:, 1],
    }
    for name, of in measures.items():
        assert distance(of(ours), of(boxes)) < 1, name


def test_factors_and_order_of_the_jitter() -> None:
    ours = draw(FULL, seed=0, rows=range(N), stream="view", size=(8, 8)).colour
    ranges = ((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1))

    def params() -> list[float]:
        order, *factors = ColorJitter.get_params(*ranges)
        return [ORDERS.index(tuple(order.tolist())), *factors]

    drawn = theirs(params)
    for column, name in enumerate(("order", "brightness", "contrast", "saturation", "hue")):
        assert distance(getattr(ours, name), drawn[:, column]) < 1, name


def test_width_of_the_blur_and_the_affine_map() -> None:
    ours = draw(FULL, seed=0, rows=range(N), stream="view", size=(100, 100))
    assert distance(ours.blur.sigma, theirs(lambda: GaussianBlur.get_params(0.1, 2.0))) < 1

    def params() -> list[float]:
        angle, shift, scale, _ = RandomAffine.get_params((-10, 10), (0.1, 0.1), (0.9, 1.1), None, [100, 100])
        return [angle, *shift, scale]

    drawn = theirs(params)
    assert distance(ours.affine.angle, drawn[:, 0]) < 1
    assert distance(ours.affine.shift_x.round(), drawn[:, 1]) < 1  # torchvision rounds to whole pixels
    assert distance(ours.affine.shift_y.round(), drawn[:, 2]) < 1
    assert distance(ours.affine.scale, drawn[:, 3]) < 1


def test_the_distance_tells_distributions_apart() -> None:
    a = draw(FULL, seed=0, rows=range(N), stream="view", size=(8, 8)).colour.brightness
    assert distance(a, a**1.2) > 1
    assert distance(a, a * 1.05) > 1
