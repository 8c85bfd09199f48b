"""Frozen features: one forward pass of every image through the encoder, without gradients.

Legend: N images, D feature dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.encoders import Encoder
from copgen.runtime.errors import DataError


def extract(encoder: Encoder, images: Tensor, *, batch_size: int) -> Tensor:
    """Features (N, D), float32 on the CPU, in the order of the images.

    Args:
        encoder: the encoder, on any device; always in evaluation mode.
        images: (N, C, H, W), floating, in [-1, 1].
        batch_size: images per forward pass.

    Raises:
        DataError: a feature is not finite.
    """
    device = next(encoder.parameters()).device
    with torch.no_grad():
        batches = [encoder(batch.to(device)).float().cpu() for batch in torch.split(images, batch_size)]
    features = torch.cat(batches)
    if not bool(torch.isfinite(features).all()):
        raise DataError("The encoder returns non-finite features.", fix="Its training diverged; train it again.")
    return features
