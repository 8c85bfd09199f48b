"""DiffAugment (Zhao et al. 2020): random augmentations of all that a GAN's discriminator sees, real or generated.

    colour       brightness, saturation and contrast; not of grey images
    translation  by up to an eighth of each side; the border is repeated (Zhao et al.: zeros)
    cutout       a square of half the side becomes mid-grey

As gradients pass through them, the generator learns the distribution of the images without them.

Legend: N images (N, C, H, W) in [-1, 1]; u (N, 3) uniform in (0, 1), the random numbers of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import get_args

import torch
from torch import Tensor

from copgen.runtime import philox
from copgen.views.policies import DiffAugmentation

TRANSLATION, CUTOUT = 0.125, 0.5  # of a side


def diff_augment(
    images: Tensor, augmentations: Collection[DiffAugmentation], *, seed: int, rows: philox.Rows, stream: str
) -> Tensor:
    """A random view of every image, (N, C, H, W), differentiable in the images.

    Args:
        images: in [-1, 1]; colours may leave that range.
        augmentations: which of them, applied in the order of the table above.
        seed, rows, stream: the parameters of image n are a function of (seed, stream, rows[n]).
    """
    for name in get_args(DiffAugmentation):
        if name in augmentations and (name != "colour" or images.shape[1] == 3):
            u = philox.uniform(seed, rows, 3, stream=f"{stream}/{name}", device=images.device)
            images = _APPLY[name](images, u)
    return images


def colour(images: Tensor, u: Tensor) -> Tensor:
    """Brightness + [-0.5, 0.5], saturation * [0, 2], contrast * [0.5, 1.5]."""
    brightness, saturation, contrast = u.to(images.dtype).T[:, :, None, None, None]
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2.0 * saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    contrasted: Tensor = level + (images - level) * (contrast + 0.5)
    return contrasted


def translation(images: Tensor, u: Tensor) -> Tensor:
    """Shift each image by a whole number of pixels."""
    count, channels, height, width = images.shape
    rows = _shifted(height, u[:, 0])[:, None, :, None]
    columns = _shifted(width, u[:, 1])[:, None, None, :]
    image = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[image, channel, rows, columns]


def _shifted(side: int, u: Tensor) -> Tensor:
    """Which pixel (N, side) of a side each pixel is taken from."""
    most = int(side * TRANSLATION + 0.5)
    shift = (u * (2 * most + 1)).long() - most
    return (torch.arange(side, device=u.device) + shift[:, None]).clamp(0, side - 1)


def cutout(images: Tensor, u: Tensor) -> Tensor:
    """Replace a square, whose centre is anywhere in the image, by 0."""
    height, width = images.shape[2:]
    square = _covered(height, u[:, 0])[:, None, :, None] & _covered(width, u[:, 1])[:, None, None, :]
    return images.masked_fill(square, 0.0)


def _covered(side: int, u: Tensor) -> Tensor:
    """Which pixels (N, side) of a side the square covers."""
    length = int(side * CUTOUT + 0.5)
    first = (u * (side + 1 - length % 2)).long()[:, None] - length // 2
    pixel = torch.arange(side, device=u.device)
    return (pixel >= first) & (pixel < first + length)


_APPLY: dict[DiffAugmentation, Callable[[Tensor, Tensor], Tensor]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}
