"""Images shared by the tests of T_x."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.views.colour import ColourDraw, change_colours


def random_images(
    n: int, size: tuple[int, int], *, channels: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Tensor:
    """Uniform noise in [0, 1], (N, C, H, W): the hardest image for an interpolation."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, channels, *size), dtype=dtype, generator=generator)


def rounding(dtype: torch.dtype, size: tuple[int, int]) -> float:
    """How much rounding pixel positions up to `size` may change an image of contrast 1."""
    return 16 * max(size) * torch.finfo(dtype).eps


def colour_jitter(images: Tensor, draw: ColourDraw) -> Tensor:
    """The jitter alone."""
    return change_colours(images, draw, jitter=True, grayscale=False)


def drop_colour(images: Tensor, draw: ColourDraw) -> Tensor:
    """The grayscale alone."""
    return change_colours(images, draw, jitter=False, grayscale=True)
