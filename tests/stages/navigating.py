"""What the tests of navigate share: kinds of runs, and comparisons of navigators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.latents import load_navigator
from copgen.runtime.events import Events
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from tests.stages.small import (
    Stage,
    navigate_settings,
)

K = 8
ARTEFACT = "navigator.safetensors"
KINDS: dict[str, dict[str, object]] = {
    "simultaneous": {},
    "alternating": {"update": "alternating", "snapshot_every": 24, "preview_every": 40},
    "forms": {
        "center": True,
        "noise_dim": 3,
        "random_sign": True,
        "weight_decay_navigator": 0.1,
        "encoder_width": 0.5,
        "similarity": "ms-ssim",
        "check_every": 16,
        "snapshot_every": 24,
    },
    "constrained": {
        "update": "alternating",
        "encoder_updates": 3,
        "similarity_penalty": 5.0,
        "similarity_kept": 0.95,
        "similarity": "pixels",
        "check_every": 16,
    },
    "turn": {"stop": "loss-turn", "samples": 1000, "turn_half_life": 16, "turn_patience": 40, "lr_encoder": 1e-2},
    "delta": {"stop": "delta", "samples": 1000, "delta": 0.65},
}


def of_kind(flow: Path, kind: str) -> NavigateSettings:
    return navigate_settings(flow, **KINDS[kind])


def as_stage(settings: NavigateSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return navigate(settings, out=out, events=events)

    return run


def weights(folder: Path) -> dict[str, Tensor]:
    return load_navigator(folder).state_dict()


def assert_equal_weights(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
