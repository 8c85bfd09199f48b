"""Colour jitter and grayscale of a batch, with factors and an order per image.

Brightness, contrast and saturation blend an image with black, with its mean grey, and with its grey version; hue is
rotated. The four run in one of their 24 orders. Grey is the luma of ITU-R 601-2.

Legend: N images (N, C, H, W) in [0, 1], C = 1 or 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from copgen.views import colour_in_cache as in_cache
from copgen.views.hue import turn_hue
from copgen.views.schedule import image_by_image

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
ORDERS = tuple(permutations((_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE)))
"""The 24 orders in which brightness (0), contrast (1), saturation (2) and hue (3) can run."""

# For each of the four steps its position in every order, two bits per order in one integer: a table without memory on
# the device.
_TIMES = tuple(sum(order.index(step) << 2 * index for index, order in enumerate(ORDERS)) for step in range(4))


@dataclass(frozen=True)
class ColourDraw:
    """One set of factors per image, each (N,); float64 unless noted."""

    jitter: Tensor  # bool, whether the image is jittered
    order: Tensor  # int64, index in ORDERS
    brightness: Tensor  # factor, 1 changes nothing
    contrast: Tensor  # factor, 1 changes nothing
    saturation: Tensor  # factor, 1 changes nothing
    hue: Tensor  # turns of the colour circle, 0 changes nothing
    grayscale: Tensor  # bool


def change_colours(images: Tensor, draw: ColourDraw, *, jitter: bool, grayscale: bool) -> Tensor:
    """Jitter the images for which `draw.jitter` is True, then turn grey those for which `draw.grayscale` is True.

    Jittered images are clamped to [0, 1] first and after every step. A clamp passes the gradient where the value was
    inside, ends included, and 0 outside: the exact derivative of what is computed. Saturation, hue and grayscale do not
    change one-channel images. On the CPU both run in one pass over the images.

    Args:
        images: (N, C, H, W) in [0, 1], C = 1 or 3.
        draw: the factors.
        jitter, grayscale: which of the two are enabled.

    Returns:
        (N, C, H, W) in [0, 1], differentiable in the images.
    """
    coloured = images.shape[1] == 3
    if image_by_image(images):
        programs: list[in_cache.Program] = [[] for _ in images]
        if jitter:
            programs = _jitter_programs(draw, coloured=coloured)
        if grayscale and coloured:
            greys = draw.grayscale.tolist()
            programs = [
                [*program, (in_cache.greyed, 0.0)] if grey else program
                for program, grey in zip(programs, greys, strict=True)
            ]
        return in_cache.run(images, programs) if any(programs) else images
    if jitter:
        images = _jitter_batch(images, draw)
    if grayscale and coloured:
        images = torch.where(_per_image(draw.grayscale), luma(images), images)
    return images


def luma(images: Tensor) -> Tensor:
    """The grey value of every pixel, (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    return (in_cache.LUMA[0] * red + in_cache.LUMA[1] * green + in_cache.LUMA[2] * blue)[:, None]


def _jitter_programs(draw: ColourDraw, *, coloured: bool) -> list[in_cache.Program]:
    """The jitter steps of each image, in its order."""
    steps = (in_cache.brightness, in_cache.contrast, in_cache.saturation, in_cache.hue)
    factors = torch.stack((draw.brightness, draw.contrast, draw.saturation, draw.hue), dim=1).tolist()
    possible = (_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE) if coloured else (_BRIGHTNESS, _CONTRAST)
    return [
        [(in_cache.clamp, 0.0), *((steps[step], factor[step]) for step in ORDERS[order] if step in possible)]
        if happens
        else []
        for happens, order, factor in zip(draw.jitter.tolist(), draw.order.tolist(), factors, strict=True)
    ]


def _jitter_batch(images: Tensor, draw: ColourDraw) -> Tensor:
    """Jitter all images at once: three blends before the hue rotation and three after it.

    Brightness, contrast and saturation can each run at time 0, 1 or 2 before the hue, or at time 1, 2 or 3 after it.
    The image's order says at which; at the other times they are the identity. The hue, the expensive step, runs once.
    """
    coloured = images.shape[1] == 3
    brightness, contrast, saturation, hue = ((times >> 2 * draw.order) & 3 for times in _TIMES)
    timed = [(brightness, draw.brightness), (contrast, draw.contrast)]
    timed += [(saturation, draw.saturation)] if coloured else []

    def blends(jittered: Tensor, times: range, *, before: bool) -> Tensor:
        for now in times:
            factors = [
                torch.where((time == now) & ((time < hue) == before), factor, 1.0).to(images.dtype)
                for time, factor in timed
            ]
            jittered = _blend(jittered, *factors)
        return jittered

    jittered = blends(images.clamp(0.0, 1.0), range(3), before=True)
    jittered = turn_hue(jittered, draw.hue) if coloured else jittered
    jittered = blends(jittered, range(1, 4), before=False)
    return torch.where(_per_image(draw.jitter), jittered, images)


def _blend(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor | None = None) -> Tensor:
    """Blend each image with black, with its mean grey or with its grey version; at most one factor (N,) is not 1."""
    grey = luma(images)
    towards = _per_image(1.0 - contrast) * grey.mean(dim=(2, 3), keepdim=True)
    kept = brightness * contrast
    if saturation is not None:
        towards = towards + _per_image(1.0 - saturation) * grey
        kept = kept * saturation
    return (_per_image(kept) * images + towards).clamp(0.0, 1.0)


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
