"""The units of an image: [-1, 1] from a generator, [0, 1] while it is augmented, normalised for the encoder."""

from __future__ import annotations

from torch import Tensor

from copgen.views.policies import Normalisation


def to_unit(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]; values beyond stay beyond."""
    return (images + 1.0) * 0.5


def normalise(images: Tensor, numbers: Normalisation) -> Tensor:
    """(value - mean) / std for each channel; images (N, C, H, W) in [0, 1], as many channels as the numbers have."""
    mean, std = images.new_tensor(numbers.mean), images.new_tensor(numbers.std)
    return (images - mean[:, None, None]) / std[:, None, None]
