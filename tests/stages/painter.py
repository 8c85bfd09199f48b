"""A generator with classes that is one linear layer, for tests of what is around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from copgen.generators.conditions import draw_rows
from copgen.generators.protocol import Generator
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.stages.navigate.settings import NavigateSettings

CLASSES, DIM, SIZE = 6, 10, 8


class Painter(Generator):
    """G: z (N, 10) and classes (N,) to images (N, 1, 8, 8); every class has a pattern of its own."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.name, self.latent_dim, self.image_size, self.channels = "painter", DIM, SIZE, 1
        self.prior, self.weights_sha256, self.made_by, self.settings = Prior(), "0" * 64, {}, {}
        self.conditions = CLASSES
        strokes = philox.normal(1, range(DIM), SIZE * SIZE, stream="strokes").to(dtype)
        patterns = philox.normal(1, range(CLASSES), SIZE * SIZE, stream="patterns").to(dtype)
        self.strokes = nn.Parameter(strokes, requires_grad=False)
        self.patterns = nn.Parameter(patterns, requires_grad=False)

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor:
        return draw_rows(indices, CLASSES, seed=seed, device=self.strokes.device)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        flat = z.to(self.strokes.dtype) @ self.strokes / DIM**0.5 + self.patterns[condition]
        return torch.tanh(flat).view(-1, 1, SIZE, SIZE)


def painter_settings(**changes: Any) -> NavigateSettings:
    """Updates of eight pairs in float64 at learning rates that show."""
    fields = {
        "generator": "digits",
        "weights": Path("none"),
        "samples": 160,
        "batch": 8,
        "precision": "float64",
        "lr_navigator": 1e-3,
        "lr_encoder": 1e-3,
        "views": "mnist",
        "encoder": "digits",
        "projector": (16, 8),
        "device": "cpu",
    }
    return NavigateSettings.model_validate({**fields, **changes})
