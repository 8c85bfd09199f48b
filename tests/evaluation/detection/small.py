"""Small detectors for the tests."""

from __future__ import annotations

from typing import Any

import torch

from copgen.encoders.encoder import EncoderConfig
from copgen.evaluation.detection.config import DetectorConfig
from copgen.evaluation.detection.detector import Detector, Targets
from tests.data.shapes import CLASSES


def detector(
    arch: str = "digits", backbone: Any = "c4", anchors: tuple[float, ...] = (12.0, 20.0), **how: Any
) -> Detector:
    """With random weights, the same each time."""
    encoder = EncoderConfig(arch=arch, in_channels=3, image_size=64, views="simclr")
    config = DetectorConfig(
        encoder=encoder,
        backbone=backbone,
        classes=CLASSES,
        anchors=anchors,
        anchors_per_image=32,
        regions_per_image=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Detector(encoder.build(), config, **how)


def images(count: int = 2, side: int = 32) -> tuple[torch.Tensor, list[tuple[int, int]], Targets]:
    """Noise with a box in each image."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 3, side, side, generator=generator)
    target = {"boxes": torch.tensor([[6.0, 8.0, 24.0, 22.0]]), "labels": torch.tensor([1])}
    return x, [(side, side)] * count, [target] * count
