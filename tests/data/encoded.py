"""A source of image files in memory, for the tests of loaders."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor

from copgen.data.positives import positives_at_random


def picture(n: int, size: tuple[int, int], *, channels: int = 3) -> Tensor:
    """A smooth coloured image with some noise, uint8 (C, H, W)."""
    generator = torch.Generator().manual_seed(n)
    coarse = torch.rand(1, channels, 9, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0].clamp(0, 1) * 255
    return (smooth + 6 * torch.randn(smooth.shape, generator=generator)).clamp(0, 255).to(torch.uint8)


def file(image: Tensor, kind: str = "PNG") -> bytes:
    """The encoded image."""
    stream = io.BytesIO()
    array = image.permute(1, 2, 0).numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, kind, quality=90)
    return stream.getvalue()


class Files:
    """`items` items of an anchor and `positives` positives; 0: real images, of which all views are made.

    Args:
        items: how many.
        positives: of each.
        shapes: (height, width), in turn.
        channels: 1 or 3.
    """

    def __init__(
        self,
        items: int = 12,
        *,
        positives: int = 0,
        shapes: tuple[tuple[int, int], ...] = ((64, 64),),
        channels: int = 3,
    ) -> None:
        self.channels, self.positives = channels, positives
        self.size: tuple[int, int] | None = shapes[0] if len(shapes) == 1 else None
        self.labels: Tensor | None = torch.arange(items) % 5
        self.classes: tuple[str, ...] = ("a", "b", "c", "d", "e")
        self.inputs: dict[str, str] = {}
        self.files = [
            [file(picture(10 * item + k, shapes[item % len(shapes)], channels=channels)) for k in range(1 + positives)]
            for item in range(items)
        ]

    def __len__(self) -> int:
        return len(self.files)

    def columns(self, samples: range, views: int) -> Tensor:
        if not self.positives:
            return torch.zeros(len(samples), views, dtype=torch.int64)
        return positives_at_random(samples, views, self.positives, seed=0)

    def encoded(self, item: int, column: int) -> bytes:
        return self.files[item][column]

    def where(self, item: int, column: int) -> str:
        return f"item {item}, image {column}"
