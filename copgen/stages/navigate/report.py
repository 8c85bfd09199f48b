"""The summary of a navigate run, and why it ended."""

from __future__ import annotations

import math
from typing import Any

import torch

from copgen import generators
from copgen.latents.navigator import Navigator
from copgen.objectives import chance_level
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.stopping import Stopping


@torch.no_grad()
def summarise(
    settings: NavigateSettings, G: generators.Generator, T_z: Navigator, *, ended: str, updates: int, stopping: Stopping
) -> dict[str, Any]:
    """The summary of the run, with the shift of the final navigator over 4,096 new latents."""
    drawn = settings.updates * settings.batch
    rows = range(drawn, drawn + 4096)
    z = G.sample_prior(rows, settings.seed).to(next(T_z.parameters()).dtype)
    turn = stopping.turn
    finite = math.isfinite(turn.minimum)
    shift = T_z.move(z, delta=settings.delta, seed=settings.seed, rows=rows).numbers()
    return {
        "ended_by": ended,
        "updates": updates,
        "samples": updates * settings.batch,
        "kept": (stopping.choice[0] if stopping.choice else updates) * settings.batch,
        "chance": chance_level(settings.batch),
        "loss_smoothed": turn.smoothed() if turn.updates else None,
        "loss_minimum": turn.minimum if finite else None,
        "loss_minimum_samples": turn.minimum_update * settings.batch,
        "shift": shift,
        "stop_rules": stopping.signals(shift),
    }


def ending(summary: dict[str, Any]) -> str:
    """One sentence on why it ended."""
    reason = {
        "samples": "all samples were drawn",
        "delta": "d(z, z') exceeded delta",
        "band": "the standard deviation of z' - z left the band around its prior value",
        "perceptual": "positives became too unlike their anchors",
        "probe": "the few-label accuracy of f no longer rose",
        "loss-turn": "the loss of f turned upwards",
    }[summary["ended_by"]]
    kept = "" if summary["kept"] == summary["samples"] else f"; kept the navigator of sample {summary['kept']:,}"
    mean = f"The mean d is {summary['shift']['d_mean']:.3f}."
    return f"Stopped after {summary['samples']:,} samples: {reason}{kept}. {mean}"
