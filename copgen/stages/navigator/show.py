"""`copgen navigator show`: a sheet of the effect of a navigator or a steering walk on images.

Anchors, and the displacement scaled by 0.5, 1, 1.5 and 2: G(z + a (z' - z)). A walk of edits also has a row for each
of its directions, with its slider at 1 and without the other edits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.latents.distance import displacement
from copgen.latents.walks import Walk
from copgen.report.grid import save_picture
from copgen.report.sheet import labelled_sheet
from copgen.runtime.machine import resolve_device
from copgen.runtime.path_errors import path_errors
from copgen.stages.navigator.inspect import load_generator
from copgen.stages.navigator.movement import load_movement
from copgen.views.edits import names

LENGTHS = (0.5, 1.0, 1.5, 2.0)
IMAGES = 8


@torch.no_grad()
@path_errors()
def show(
    path: Path,
    *,
    out: Path,
    generator: str | None = None,
    weights: Path | None = None,
    images: int = IMAGES,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Render the sheet.

    Args:
        path: file or run folder of a navigator or walk.
        out: the PNG.
        generator: the generator of the images; None: the one that it was trained on.
        weights: of that generator.
        images: number of anchors, one per column.
        seed: of the anchors, and of the edits of a walk.
        device: where the images are generated.

    Returns:
        The kind, the generator, the mean d(z, z') at each scale, and the PNG.

    Raises:
        DataError: there is neither a navigator nor a walk.
        UsageError: it and the generator have different latent sizes.
    """
    movement = load_movement(path)
    name = generator or movement.made_by.get("generator")
    G = load_generator(movement.made_by, name, weights, movement.held.latent_dim, path, device)
    held = movement.held.to(resolve_device(device))
    indices = range(images)
    z, condition = G.sample_prior(indices, seed), G.sample_condition(indices, seed)
    z_pos = movement.transform(seed)(z, condition, indices)
    rows = [("anchor", G(z, condition))]
    distances: dict[str, float] = {}
    for length in LENGTHS:
        moved = z + length * (z_pos - z)
        distances[f"{length:g}"] = displacement(z, moved).mean().item()
        rows.append((f"{length:g} x", G(moved, condition)))
    if isinstance(held, Walk) and held.form == "edits":
        rows += directions(held, G, z, condition)
    what = f"{movement.kind} of {G.name}; mean d(z, z') at 1 x: {distances['1']:.3f}"
    save_picture(out, labelled_sheet(what, rows))
    return {
        "kind": movement.kind,
        movement.kind: str(movement.file),
        "generator": G.name,
        "images": images,
        "d_mean": distances,
        "picture": str(out),
    }


def directions(walk: Walk, G: generators.Generator, z: Tensor, condition: Tensor | None) -> list[tuple[str, Tensor]]:
    """A row for each direction of a walk of edits, with its slider at 1."""
    rows = []
    for place, name in enumerate(names(walk.channels)):
        strengths = torch.zeros(z.shape[0], walk.directions.shape[0], device=z.device)
        strengths[:, place] = 1.0
        rows.append((name.replace("_", " "), G(walk.steer(z, strengths), condition)))
    return rows
