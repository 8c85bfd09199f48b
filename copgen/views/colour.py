"""Colour jitter and grayscale of a batch, each image by its own factors and in its own order.

Brightness, contrast and saturation blend an image with black, with its mean grey, and with its own grey version; hue is
turned. The four run in one of their 24 orders. Grey is the luma of ITU-R 601-2.

Legend: N images (N, C, H, W) in [0, 1], C = 1 or 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from copgen.views.hue import turn_hue

_LUMA = (0.2989, 0.587, 0.114)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
ORDERS = tuple(permutations((_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE)))
"""The 24 orders in which brightness (0), contrast (1), saturation (2) and hue (3) can run."""


@dataclass(frozen=True)
class ColourDraw:
    """One set of factors per image, each (N,); float64 unless said."""

    jitter: Tensor  # bool, whether the four happen at all
    order: Tensor  # int64, index in ORDERS
    brightness: Tensor  # factor, 1 changes nothing
    contrast: Tensor  # factor, 1 changes nothing
    saturation: Tensor  # factor, 1 changes nothing
    hue: Tensor  # turns of the colour circle, 0 changes nothing
    grayscale: Tensor  # bool


def colour_jitter(images: Tensor, draw: ColourDraw) -> Tensor:
    """Change brightness, contrast, saturation and hue of the images that `draw.jitter` names, clamped to [0, 1].

    Saturation and hue leave one-channel images as they are.

    Args:
        images: (N, C, H, W) in [0, 1], C = 1 or 3.

    Returns:
        (N, C, H, W) in [0, 1], differentiable in the images.
    """
    one = torch.ones_like(draw.brightness)
    saturation = draw.saturation if images.shape[1] == 3 else one
    factors = torch.stack((draw.brightness, draw.contrast, saturation, one), dim=1).to(images.dtype)
    sequence = torch.tensor(ORDERS, device=draw.order.device)[draw.order]
    jittered = images
    for step in sequence.unbind(dim=1):  # (N,): which of the four this is for each image
        factor = _per_image(factors.gather(1, step[:, None])[:, 0])
        changed = (factor * jittered + (1.0 - factor) * _blend_target(jittered, step)).clamp(0.0, 1.0)
        if images.shape[1] == 3:
            changed = torch.where(_per_image(step == _HUE), turn_hue(jittered, draw.hue), changed)
        jittered = changed
    return torch.where(_per_image(draw.jitter), jittered, images)


def drop_colour(images: Tensor, draw: ColourDraw) -> Tensor:
    """Make the images grey that `draw.grayscale` names, keeping C channels; one-channel images are grey already."""
    return torch.where(_per_image(draw.grayscale), luma(images), images)


def luma(images: Tensor) -> Tensor:
    """The grey value of every pixel, (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]


def _blend_target(images: Tensor, step: Tensor) -> Tensor:
    """What each image is blended with: grey for saturation, mean grey for contrast, black otherwise; (N, 1, H, W)."""
    grey = luma(images)
    flat = torch.where(_per_image(step == _CONTRAST), grey.mean(dim=(2, 3), keepdim=True), torch.zeros_like(grey))
    return torch.where(_per_image(step == _SATURATION), grey, flat)


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
