"""Run folders as navigate and pretrain leave them, without running anything."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HOSTILE = '<img src=x onerror="alert(1)">&\'"</script>'


def sheet(path: Path, *, rows: int, side: int = 64, seed: int = 0, colour: bool = False) -> None:
    """A preview: rows of sixteen images with white gaps; the anchors, in the first row, do not depend on the seed."""
    shape = (rows * (side + 2) - 2, 16 * (side + 2) - 2, *((3,) if colour else ()))
    pixels = np.full(shape, 255, np.uint8)
    for row in range(rows):
        draw = np.random.default_rng((row, seed if row else 0))
        for k in range(16):
            cell = draw.integers(0, 255, (8, 8, *shape[2:]), np.uint8).repeat(side // 8, 0).repeat(side // 8, 1)
            pixels[row * (side + 2) : row * (side + 2) + side, k * (side + 2) : k * (side + 2) + side] = cell
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def navigate_run(
    folder: Path,
    *,
    checks: int = 8,
    generator: str = "digits",
    finished: bool = True,
    colour: bool = False,
    **config: Any,
) -> Path:
    """A navigate run with a preview per check."""
    folder.mkdir(parents=True)
    batch, every = 128, 1000
    settings = {"generator": generator, "samples": checks * every, "batch": batch, "seed": 0, "stop": "delta"}
    settings |= {"delta": 0.05, **config}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "config.toml").write_text("\n".join(['stage = "navigate"', *lines]) + "\n")
    versions = {"copgen": "0.1.0", "torch": "2.14.1"}
    environment = {"device": "cpu", "inputs": {"generator": "6b314b32"}, "versions": versions}
    (folder / "environment.json").write_text(json.dumps(environment))
    chance = math.log(2 * batch - 1)
    metrics = []
    for update in range(1, checks * every // batch + 1):
        share = update * batch / (checks * every)
        metrics.append(
            {
                "update": update,
                "samples": update * batch,
                "loss_encoder": chance - share,
                "loss_navigator": chance - 0.9 * share,
                "loss_smoothed": chance - share,
                "chance": chance,
                "d_mean": 0.05 * share,
                "d_std": 0.01 * share,
                "d_p95": 0.07 * share,
                "shift_std": 0.05 * share,
                "shift_mean": 0.01 * share,
                "rule_delta": share,
                "rule_loss_turn": 0.0,
                "seconds": 0.5 * update,
            }
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    for check in range(checks + 1):
        sheet(folder / "previews" / f"samples-{check * every:010d}.png", rows=2, seed=check, colour=colour)
    sheet(folder / "previews" / "baselines.png", rows=3, seed=9001, colour=colour)
    if finished:
        finish(folder, samples=checks * every, chance=chance, colour=colour)
    return folder


def finish(folder: Path, *, samples: int, chance: float, colour: bool) -> None:
    """What a run writes at its end."""
    sheet(folder / "previews" / "final.png", rows=2, seed=9000, colour=colour)
    rules = {"delta": {"measure": "violations", "limit": 64, "acts_at": samples}, "loss-turn": {"chosen": 7552}}
    shift = {"d_mean": 0.0523, "d_p95": 0.07}
    summary = {"ended_by": "delta", "samples": samples, "loss_smoothed": 4.266, "chance": chance, "shift": shift}
    (folder / "summary.json").write_text(json.dumps({**summary, "stop_rules": rules}))
    displacement = {
        "samples": samples,
        "draws": 4096,
        "d": {"edges": [0.0, 0.05, 0.1], "counts": [2096, 2000]},
        "split": {"constant": 0.6, "linear": 0.3, "nonlinear": 0.1},
        "blocks": [0.1, 0.2, 0.15],
    }
    (folder / "displacement.json").write_text(json.dumps(displacement))


def pretrain_run(folder: Path) -> Path:
    """A finished pretrain run with a monitor."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('stage = "pretrain"\npairs = "pairs"\nbatch = 128\nupdates = 100\n')
    metrics = []
    for update in range(1, 101):
        line = {"update": update, "samples": 128 * update, "loss": 5.0 - update / 100, "chance": 5.54, "lr": 1e-3}
        if update % 25 == 0:
            line |= {"rank_me": 20.0, "alignment": 0.5, "uniformity": -2.0, "knn_top1": 0.9, "linear_top1": 0.95}
        metrics.append({**line, "seconds": 0.1 * update, "data_wait": 0.04})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    (folder / "summary.json").write_text(json.dumps({"samples": 12_800, "loss": 4.0, "chance": 5.54, "updates": 100}))
    return folder
