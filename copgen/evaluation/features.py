"""Frozen features: one forward pass of every image through the encoder, without gradients.

Legend: N images, D feature dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.encoders import Encoder
from copgen.runtime.errors import DataError


def features_of(
    encoder: Encoder, batches: Iterable[Tensor], *, progress: Callable[[int], None] | None = None
) -> Tensor:
    """Features (N, D), float32 on the CPU, in the order of the images.

    Args:
        encoder: the encoder, on any device; always in evaluation mode.
        batches: (K, C, H, W), floating, in [-1, 1], such as those of `copgen.data.batches`; one is in memory at a time.
        progress: called with the number of images that are done.

    Raises:
        DataError: a feature is not finite.
    """
    found, done = [], 0
    for some in embedded(encoder, batches, next(encoder.parameters()).device):
        found.append(some)
        done += len(some)
        if progress is not None:
            progress(done)
    return torch.cat(found)


@torch.no_grad()
def embedded(embed: Callable[[Tensor], Tensor], batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """The features (K, D) of each batch, float32 on the CPU; arguments and errors as `features_of`."""
    for batch in batches:
        features = embed(batch.to(device)).float().cpu()
        if not bool(torch.isfinite(features).all()):
            raise DataError("The encoder returns non-finite features.", fix="Its training diverged; train it again.")
        yield features


@dataclass(frozen=True)
class Standardised:
    """(feature - mean) / std, with those of the training images; a feature that is constant there is only centred.

    Attributes:
        mean, std: (D,) float32.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def over(cls, features: Tensor) -> Standardised:
        """With mean and standard deviation of features (N, D)."""
        mean, std = features.mean(dim=0), features.std(dim=0, correction=0)
        return cls(mean, std.where(std > 1e-6 * mean.abs(), torch.ones_like(std)))

    def __call__(self, features: Tensor) -> Tensor:
        """(N, D), standardised, on the device of the features."""
        return (features - self.mean.to(features)).div_(self.std.to(features))


def extract(encoder: Encoder, images: Tensor, *, batch_size: int) -> Tensor:
    """Features (N, D), float32 on the CPU, of images (N, C, H, W) that are in memory; errors as `features_of`."""
    return features_of(encoder, torch.split(images, batch_size))
