"""Value ranges of an image: [-1, 1] from a generator, [0, 1] while it is augmented, normalised for the encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.views.policies import Normalisation


def to_unit(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]; values outside are not clamped."""
    return (images + 1.0) * 0.5


def normalise(images: Tensor, numbers: Normalisation) -> Tensor:
    """(value - mean) / std for each channel; images (N, C, H, W) in [0, 1], with as many channels as `numbers`."""
    # Filled on the device: a tensor made from a list is copied there, which synchronises.
    scale, shift = (
        torch.cat([images.new_full((1, 1, 1), value) for value in values])
        for values in (
            [1 / std for std in numbers.std],
            [-mean / std for mean, std in zip(numbers.mean, numbers.std, strict=True)],
        )
    )
    return torch.addcmul(shift, images, scale)
