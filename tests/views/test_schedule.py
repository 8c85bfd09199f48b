"""Image by image or all at once: the same views and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from copgen.views import Policy, apply, augment, draw, names, policy, schedule
from copgen.views.blur import blur
from copgen.views.crop import crop
from copgen.views.policies import Normalisation
from copgen.views.units import normalise
from tests.views.images import colour_jitter, drop_colour, random_images

ALWAYS, NEVER = 0, 2**62
SMALLER = policy("simclr-blur", size=20)
DIFFERENTIABLE = [policy(name) for name in names() if policy(name).differentiable]


def both_ways(images: Tensor, numbers: Policy, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Views and gradients, first image by image, then all at once."""
    drawn = draw(numbers, seed=4, rows=range(len(images)), stream="view", size=(images.shape[2], images.shape[3]))
    results = []
    for least in (ALWAYS, NEVER):
        monkeypatch.setattr(schedule, "LEAST_PIXELS", least)
        leaf = images.clone().requires_grad_()
        views = apply(leaf, numbers, drawn)
        back = random_images(len(views), (views.shape[2], views.shape[3]), channels=views.shape[1], seed=1).to(views)
        results.append((views.detach(), torch.autograd.grad(views, leaf, back)[0]))
    return results


@pytest.mark.parametrize("numbers", [*DIFFERENTIABLE, SMALLER], ids=lambda numbers: f"{numbers.name}")
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-5), (torch.float64, 1e-11)])
def test_views_and_gradients_agree(
    numbers: Policy, dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = 2 * random_images(24, (28, 33), dtype=dtype) - 1
    one_by_one, together = both_ways(images, numbers, monkeypatch)
    torch.testing.assert_close(one_by_one[0], together[0], rtol=0, atol=bound)
    wrong = (one_by_one[1] - together[1]).abs() > 100 * bound
    # In float32 a value at a kink may round to either side of it, where the derivatives differ.
    assert wrong.sum() <= (4 if dtype == torch.float32 else 0)


def test_grey_pure_and_saturated_pixels_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    images = 2 * random_images(24, (6, 6)).mul(3).round().div(3) - 1
    numbers = policy("simclr", crop=None, flip=0)
    one_by_one, together = both_ways(images, numbers, monkeypatch)
    torch.testing.assert_close(one_by_one[0], together[0], rtol=0, atol=1e-12)
    assert one_by_one[1].isfinite().all()


@pytest.mark.parametrize("least", [ALWAYS, NEVER])
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_every_operation_are_exact_either_way(
    least: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LEAST_PIXELS", least)
    images = (0.25 + 0.3 * random_images(4, (4, 5), channels=channels)).requires_grad_()  # no clamp is met
    drawn = draw(policy("simclr-blur", jitter={"probability": 1}), seed=2, rows=range(4), stream="view", size=(4, 5))
    operations = (
        lambda x: crop(x, drawn.crop, size=(3, 6), antialias=True),
        lambda x: crop(x, drawn.crop, size=(3, 3), antialias=False),
        lambda x: colour_jitter(x, drawn.colour),
        lambda x: drop_colour(x, drawn.colour),
        lambda x: blur(x, drawn.blur, kernel=0.9),
    )
    for operation in operations:
        assert torch.autograd.gradcheck(operation, (images,))


def test_only_large_images_on_the_cpu_go_one_by_one() -> None:
    assert schedule.image_by_image(torch.zeros(1, 3, 128, 128))
    assert not schedule.image_by_image(torch.zeros(1, 3, 28, 28))
    assert not schedule.image_by_image(torch.zeros(1, 3, 128, 128, device="meta"))


@pytest.mark.parametrize("name", ["mnist", "simclr-blur"])  # between them every part
def test_a_compiler_sees_one_graph_of_draw_and_views(name: str) -> None:
    def view(images: Tensor, rows: Tensor, seed: int) -> Tensor:
        return augment(images, policy(name), seed=seed, rows=rows, stream="view")

    torch.compiler.reset()
    compiled = torch.compile(view, fullgraph=True, dynamic=False, backend="aot_eager")
    images = (2 * random_images(4, (56, 56), dtype=torch.float32) - 1).requires_grad_()
    for seed in (0, 1):
        rows = torch.arange(10, 14)
        ours, eager = compiled(images, rows, seed), view(images, rows, seed)
        torch.testing.assert_close(ours, eager, rtol=0, atol=5e-5)  # 1e-5 in [0, 1], divided by the std
        gradients = [torch.autograd.grad(v.sum(), images)[0] for v in (ours, eager)]
        assert ((gradients[0] - gradients[1]).abs() > 2e-3).float().mean() < 1e-4


def test_nothing_is_read_back_where_images_go_together() -> None:
    # A tensor on the meta device has no values: reading one would raise.
    images = torch.zeros(3, 3, 64, 64, device="meta", requires_grad=True)
    drawn = draw(policy("simclr-blur"), seed=0, rows=range(3), stream="view", size=(64, 64), device="meta")
    views = crop(images, drawn.crop, size=(32, 32), antialias=True)
    views = blur(drop_colour(colour_jitter(views, drawn.colour), drawn.colour), drawn.blur, kernel=0.1)
    views = normalise(views, Normalisation())
    (gradient,) = torch.autograd.grad(views.sum(), images)
    assert gradient.shape == images.shape
