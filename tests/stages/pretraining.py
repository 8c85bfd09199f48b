"""Small runs of the stage pretrain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.events import Events
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.pretrain.stage import pretrain
from tests.stages.small import Stage

K, PAIRS = 16, 80  # five updates an epoch
ARTEFACT = "encoder.safetensors"
KINDS: dict[str, dict[str, object]] = {
    "sgd": {"updates": 8, "lr": 0.1},
    "adam": {"updates": 8, "optimizer": "adam", "lr": 1e-3},
    "partial batches": {"updates": 8, "batch": 24},
    "real": {"updates": 6, "pairs": None, "dataset": "digits", "batch": 8},
    "supcon": {"updates": 6, "pairs": None, "dataset": "digits", "batch": 8, "method": "supcon"},
    "byol": {"method": "byol", "temperature": None, "momentum_schedule": "cosine"},
    "nnclr": {"method": "nnclr", "projector": (16, 16, 8), "queue": 40},
    "negft": {"method": "negft", "queue": 40},
    "negft-inbatch": {"method": "negft-inbatch"},
}


def pretrain_settings(folder: Path, **changes: object) -> PretrainSettings:
    fields = {
        "pairs": folder,
        "updates": 8,
        "batch": K,
        "temperature": 0.5,
        "views": "mnist",
        "encoder": "digits",
        "projector": (16, 8),
        "checkpoint_every": 3,
        "device": "cpu",
    }
    return PretrainSettings.model_validate({**fields, **changes})


def as_stage(settings: PretrainSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return pretrain(settings, out=out, events=events)

    return run
