"""PIL's views have copgen's parameters: they agree with those of tensors within a grey level or two."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as TF

from copgen.runtime.errors import UsageError
from copgen.views import Policy, apply_each, draw, names, policy
from copgen.views.on_pil import check_policy, view_of
from tests.data.encoded import picture


def error(numbers: Policy, *, channels: int = 3) -> torch.Tensor:
    """Between PIL's views and ours, in grey levels: (N, C, S, S)."""
    images = [picture(n, shape, channels=channels) for n, shape in enumerate([(64, 64), (48, 70), (100, 60)] * 8)]
    sizes = torch.tensor([image.shape[1:] for image in images])
    drawn = draw(numbers, seed=1, rows=range(len(images)), stream="view", size=sizes)
    ours = apply_each(images, numbers, drawn)
    theirs = [view_of(TF.to_pil_image(image), numbers, drawn.row(n)) for n, image in enumerate(images)]
    std = torch.tensor(numbers.normalise.std if numbers.normalise is not None else (1.0,) * channels)
    return (torch.stack(theirs) - ours).abs() * std[:, None, None] * 255


@pytest.mark.parametrize("name", [name for name in names() if policy(name).antialias])
def test_views_agree_within_two_levels(name: str) -> None:
    levels = error(policy(name, size=48))
    assert levels.mean() < 2
    # RandAugment stretches the levels, and so a difference before it.
    assert levels.mean(dim=(1, 2, 3)).max() < (3 if policy(name).differentiable else 12)


def test_every_part_agrees_at_once() -> None:
    assert error(policy("simclr-blur", affine={"degrees": 40, "fill": 0.3}, size=56)).mean() < 2


@pytest.mark.parametrize("name", ["mnist", "simclr"])
def test_one_channel_takes_the_parts_that_have_a_meaning(name: str) -> None:
    assert error(policy(name, size=48, normalise=None), channels=1).mean() < 2


def test_a_resize_without_antialiasing_is_refused() -> None:
    check_policy(policy("simclr-authors"))
    with pytest.raises(UsageError, match=r"'simclr-authors'(?s:.*)--loader torch"):
        check_policy(policy("simclr-authors", size=48))
