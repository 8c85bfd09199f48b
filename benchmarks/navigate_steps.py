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
from copgen.runtime import memory
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
    rounds: int
    methods: Sequence[str]
    narrow: int = 1
    precision: str = "float32"


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


def authors(plan: Plan, weights: Path) -> Callable[[int], object]:
    """The authors' step."""
    G = AuthorsGenerator(weights, plan.device)
    step = AuthorsStep(G, plan.device)
    return lambda update: step(torch.randn(plan.batch, G.latent_dim, device=plan.device).clamp(-2, 2))


def build(plan: Plan, weights: Path, name: str) -> Callable[[int], object]:
    """A step by name."""
    return authors(plan, weights) if name == AUTHORS else ours(plan, weights, name)[0]


def peak(plan: Plan, weights: Path, name: str) -> int:
    """Peak bytes of an update, including weights, gradients and moments; for a separate process."""
    if plan.device.type == "cuda":
        return memory.peak_of(lambda: build(plan, weights, name)(0), plan.device) or 0
    before = memory.resident()
    step = build(plan, weights, name)
    built = memory.resident() - before
    return built + (memory.peak_of(lambda: step(0), plan.device) or 0)


def peak_in_child(weights: str, name: str, device: str, batch: int) -> int:
    """The same by what a command line can carry."""
    torch.set_num_threads(1)
    return peak(Plan(torch.device(device), batch, 1, [name]), Path(weights), name)
