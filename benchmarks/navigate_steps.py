"""The steps that benchmarks.navigate compares, on BigBiGAN with random weights: variants of ours, and the authors'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.navigate_authors import AuthorsGenerator, AuthorsStep
from copgen import views
from copgen.distributed.ranks import Ranks
from copgen.generators import biggan
from copgen.generators.biggan import BigGANConfig
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import one_update

PAPER_SAMPLES = 200_000
OURS: dict[str, dict[str, Any]] = {
    "simultaneous": {"update": "simultaneous"},
    "alternating": {"update": "alternating"},
    "simultaneous, channels_last": {"update": "simultaneous", "memory_format": "channels_last"},
    "simultaneous, activation checkpointing": {"update": "simultaneous", "activation_checkpointing": True},
    "simultaneous, channels_last, compiled": {
        "update": "simultaneous",
        "memory_format": "channels_last",
        "compile": "default",
    },
}
AUTHORS, LAID_OUT, COMPILED = "authors", "simultaneous, channels_last", "simultaneous, channels_last, compiled"


@dataclass(frozen=True)
class Plan:
    """The configuration of a run."""

    device: torch.device
    batch: int
    width: int
    rounds: int
    methods: Sequence[str]
    toy: bool
    precision: str = "float32"

    @property
    def config(self) -> BigGANConfig:
        """BigBiGAN's, at a width of 96 the published one."""
        return BigGANConfig(
            channels=tuple(self.width * unit for unit in (16, 16, 8, 4, 2, 1)),
            chunk=20,
            shared=128,
            classes=1000,
            attention=3,
            norm_eps=1e-4,
            spectral_eps=1e-4,
        )


def tensors(config: BigGANConfig) -> dict[str, torch.Tensor]:
    """Random weights under the published names; variances are positive."""
    draw = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in biggan.shapes(config, class_width=config.shared).items():
        value = torch.randn(shape, generator=draw)
        if name.endswith("stored_var"):
            value = value.abs() + 0.5
        found[name] = torch.full(shape, 0.7) if name.endswith("gamma") else value
    return found


def weights_file(config: BigGANConfig, folder: Path) -> Path:
    """The tensors in a file of the published format."""
    path = folder / "BigBiGAN_x1.pth"
    if not path.exists():
        torch.save(tensors(config), path)
    return path


def ours(plan: Plan, weights: Path, name: str) -> tuple[Callable[[int], object], Game]:
    """Our step: call it with the number of the update."""
    settings = NavigateSettings.model_validate(
        {
            "generator": "bigbigan",
            "weights": weights,
            "samples": PAPER_SAMPLES,
            "batch": plan.batch,
            "anchors": "both",
            "loss_scale": 0.1 / 0.07,
            "precision": plan.precision,
            **OURS[name],
        }
    )
    G = settings.load_generator(plan.device)
    game = Game(settings, G, plan.device)
    T_x = views.policy(settings.views)

    def step(update: int) -> object:
        rows = range(update * plan.batch, (update + 1) * plan.batch)
        return one_update(settings, G, T_x, game, rows, ranks=Ranks())

    return step, game


def authors(plan: Plan) -> Callable[[int], object]:
    """The authors' step."""
    config = plan.config
    found = {name: tensor.to(plan.device) for name, tensor in tensors(config).items()}
    G = AuthorsGenerator(found, channels=config.channels, chunk=config.chunk, attention=config.attention)
    step = AuthorsStep(G, config.latent_dim, plan.device)
    return lambda update: step(torch.randn(plan.batch, config.latent_dim, device=plan.device).clamp(-2, 2))


def build(plan: Plan, weights: Path, name: str) -> Callable[[int], object]:
    """A step by name."""
    return authors(plan) if name == AUTHORS else ours(plan, weights, name)[0]
