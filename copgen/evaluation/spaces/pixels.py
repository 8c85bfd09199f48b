"""The space 'pixels': images of 16 x 16 pixels, RGB, as they are. It needs no weights, and sees no meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from copgen.evaluation.spaces.space import prepared

SIDE = 16


@dataclass(frozen=True)
class Pixels:
    """Pixels in [-1, 1]; smaller and grey images are enlarged and repeated, so that all have one dimension."""

    device: torch.device
    name: str = "pixels"
    text: str = f"pixels of the image at {SIDE} x {SIDE}, RGB; no weights"
    dim: int = 3 * SIDE * SIDE
    inputs: dict[str, str] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 768)."""
        return prepared(images.to(self.device, torch.float32), size=SIDE, channels=3).flatten(1).contiguous()
