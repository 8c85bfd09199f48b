"""Gaussian blur of a batch, with a width per image and reflect padding (border pixels are not repeated).

Blurring is linear in each direction, so blurred = R image C^T as in crop.py; R and C are identity matrices for an image
that is not blurred.

Legend: N images, S pixels of a row or column, K = 2 r + 1 taps of the filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.views.schedule import image_by_image


@dataclass(frozen=True)
class BlurDraw:
    """One blur per image, each (N,)."""

    happens: Tensor  # bool
    sigma: Tensor  # float64, standard deviation of the filter, pixels


def blur(images: Tensor, draw: BlurDraw, *, kernel: float) -> Tensor:
    """Blur the images for which `draw.happens` is True.

    Args:
        images: (N, C, H, W).
        kernel: length of the filter, fraction of the side; rounded down to an odd number of pixels.

    Returns:
        (N, C, H, W), differentiable in the images.
    """
    if image_by_image(images):
        chosen = draw.happens.nonzero()[:, 0]
        blurred = _blurred(images[chosen], draw.happens[chosen], draw.sigma[chosen], kernel)
        return images.index_copy(0, chosen, blurred)
    return _blurred(images, draw.happens, draw.sigma, kernel)


def _blurred(images: Tensor, happens: Tensor, sigma: Tensor, kernel: float) -> Tensor:
    rows, columns = (
        _matrix_or_identity(happens, blur_matrix(sigma, pixels=side, radius=int(kernel * side / 2)))
        for side in images.shape[2:]
    )
    return rows.to(images.dtype)[:, None] @ images @ columns.to(images.dtype)[:, None].mT


def _matrix_or_identity(happens: Tensor, matrix: Tensor) -> Tensor:
    identity = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    return torch.where(happens[:, None, None], matrix, identity)


def blur_matrix(sigma: Tensor, *, pixels: int, radius: int) -> Tensor:
    """Weights that blur a line of S pixels with K = 2 `radius` + 1 taps, as torchvision's `gaussian_blur`.

    Args:
        sigma: (N,) float64, pixels.

    Returns:
        (N, S, S), float64.
    """
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    taps = torch.exp(-0.5 * (offset / sigma[:, None]).square())
    taps = taps / taps.sum(dim=1, keepdim=True)  # (N, K)
    pixel = torch.arange(pixels, device=sigma.device)
    last = pixels - 1
    source = last - (last - (pixel + offset[:, None]).abs()).abs()  # (K, S), reflected at both ends
    hits = (source[:, :, None] == pixel).to(sigma.dtype)  # (K, S, S)
    return (taps @ hits.flatten(1)).reshape(len(taps), pixels, pixels)
