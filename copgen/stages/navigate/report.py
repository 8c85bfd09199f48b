"""The report of a navigate run: previews, the summary, and why it ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from copgen import generators
from copgen.latents.navigator import Navigator
from copgen.objectives import chance_level
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.device_copies import Arrival, to_host
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.stopping import Stopping

PREVIEW_PAIRS = 16


@torch.no_grad()
def preview(path: Path, G: generators.Generator, T_z: Navigator, seed: int) -> Callable[[], None]:
    """A call that writes a picture of sixteen anchors above their positives, of T_z as it is now, from any thread.

    The latents are the same each time. The images are only queued on the device.
    """
    z = G.sample_prior(range(PREVIEW_PAIRS), seed)
    condition = G.sample_condition(range(PREVIEW_PAIRS), seed)
    z_pos = T_z(z.to(next(T_z.parameters()).dtype))
    rows = [to_host(G(latents, condition)) for latents in (z, z_pos)]
    arrival = Arrival(z.device)

    def write() -> None:
        arrival.wait()
        save_picture(path, grid_picture(rows))

    return write


@torch.no_grad()
def summarise(
    settings: NavigateSettings, G: generators.Generator, T_z: Navigator, *, ended: str, updates: int, stopping: Stopping
) -> dict[str, Any]:
    """The summary of the run, with the shift of the final navigator over 4,096 new latents."""
    drawn = settings.updates * settings.batch
    z = G.sample_prior(range(drawn, drawn + 4096), settings.seed).to(next(T_z.parameters()).dtype)
    turn = stopping.turn
    finite = math.isfinite(turn.minimum)
    shift = T_z.move(z, delta=settings.delta).numbers()
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
