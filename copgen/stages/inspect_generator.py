"""`copgen generator inspect`: what a generator is, how fast it is here, and a sheet of its samples."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from copgen import generators
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.machine import resolve_device

ROWS, COLUMNS = 8, 16


@torch.no_grad()
def inspect(
    name: str, *, weights: Path | None = None, out: Path | None = None, device: str = "auto", seed: int = 0
) -> dict[str, Any]:
    """Figures of a generator; with `out`, also a PNG with 8 rows of 16 samples.

    Args:
        name: a registered generator.
        weights: its weights file; None takes the one that comes with copgen.
        out: the picture to write, or None.
        device: where to time it.
        seed: of the samples.

    Returns:
        Parameters, latent, prior, image shape, the hash of the weights, seconds per image at batch 128, and
        `made_by` where the file records it.
    """
    where = resolve_device(device)
    G = generators.load(name, weights=weights, device=where)
    indices = range(ROWS * COLUMNS)
    z, condition = G.sample_prior(indices, seed), G.sample_condition(indices, seed)
    G(z, condition)
    start = time.monotonic()
    images = G(z, condition).cpu()
    seconds = time.monotonic() - start
    if out is not None:
        save_picture(out, grid_picture(list(images.unflatten(0, (ROWS, COLUMNS)))))
    return {
        "name": G.name,
        "parameters": sum(parameter.numel() for parameter in G.parameters()),
        "latent_dim": G.latent_dim,
        "prior": G.prior.model_dump(mode="json"),
        "image_shape": [G.channels, G.image_size, G.image_size],
        "weights_sha256": G.weights_sha256,
        "seconds_per_image": seconds / len(images),
        "device": where.type,
        "made_by": G.made_by,
        "picture": str(out) if out is not None else None,
    }
