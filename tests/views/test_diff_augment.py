"""DiffAugment: by row, differentiable, and each of its parts."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from copgen.runtime.seeds import seeded
from copgen.views.diff_augment import colour, cutout, diff_augment, translation
from copgen.views.policies import DiffAugmentation

ALL: tuple[DiffAugmentation, ...] = get_args(DiffAugmentation)


def images(count: int = 6, channels: int = 3, side: int = 8) -> Tensor:
    with seeded(0, "tests/diff_augment"):
        return 2.0 * torch.rand(count, channels, side, side, dtype=torch.float64) - 1.0


def augmented(x: Tensor, rows: range, *, seed: int = 0, stream: str = "a") -> Tensor:
    return diff_augment(x, ALL, seed=seed, rows=rows, stream=stream)


def test_the_view_of_an_image_depends_on_its_row_alone() -> None:
    x = images()
    whole = augmented(x, range(6))
    torch.testing.assert_close(augmented(x[2:4], range(2, 4)), whole[2:4])
    for other in (augmented(x, range(6), seed=1), augmented(x, range(6), stream="b"), augmented(x, range(6, 12))):
        assert not torch.equal(other, whole)


@pytest.mark.parametrize("names", [*((name,) for name in ALL), ALL])
def test_gradients_pass_through(names: tuple[DiffAugmentation, ...]) -> None:
    x = images(2, side=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, names, seed=0, rows=range(2), stream="a"), (x,))


def test_nothing_is_changed_without_augmentations() -> None:
    x = images()
    assert diff_augment(x, (), seed=0, rows=range(6), stream="a") is x


def test_grey_images_keep_their_levels() -> None:
    x = images(channels=1)
    assert diff_augment(x, ALL[:1], seed=0, rows=range(6), stream="a") is x


def test_the_middle_of_each_range_of_colours_changes_nothing() -> None:
    x = images(1)
    middle = torch.full((1, 3), 0.5)
    torch.testing.assert_close(colour(x, middle), x)
    bright = colour(x, torch.tensor([[1.0, 0.5, 0.5]]))
    torch.testing.assert_close(bright, x + 0.5)
    grey = colour(x, torch.tensor([[0.5, 0.0, 0.5]]))
    torch.testing.assert_close(grey, x.mean(dim=1, keepdim=True).expand_as(x))
    flat = colour(x, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(flat - flat.mean(), 0.5 * (x - x.mean()))


def test_a_translation_moves_by_an_eighth_at_most_and_repeats_the_border() -> None:
    x = torch.arange(16.0).expand(1, 1, 16, 16)
    for u, shift in ((0.0001, -2), (0.5, 0), (0.9999, 2)):
        moved = translation(x, torch.tensor([[0.5, u, 0.5]]))
        assert torch.equal(moved[0, 0, 0], (torch.arange(16.0) + shift).clamp(0, 15))
    down = translation(x.mT, torch.tensor([[0.9999, 0.5, 0.5]]))
    assert torch.equal(down[0, 0, :, 0], (torch.arange(16.0) + 2).clamp(0, 15))


@pytest.mark.parametrize("side", [7, 8, 14, 28])
def test_a_cutout_is_a_square_with_its_centre_anywhere_in_the_image(side: int) -> None:
    x = torch.ones(1, 2, side, side)
    half = int(side / 2 + 0.5)
    whole = cutout(x, torch.tensor([[0.5, 0.5, 0.5]]))
    assert int((whole == 0).sum()) == 2 * half**2
    for u in (0.0001, 0.9999):
        corner = int((cutout(x, torch.tensor([[u, u, 0.5]])) == 0).sum())
        assert 0 < corner < 2 * half**2
