"""`copgen generator inspect`: properties of a generator, its speed on this machine, and a sheet of samples."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.machine import resolve_device
from copgen.runtime.path_errors import path_errors

# (rows, columns, batch size): a sheet of small images takes a second, one of large ones a minute on two cores.
SMALL, LARGE = (8, 16, 128), (4, 8, 8)
_SMALL_SIDE = 32


@torch.no_grad()
@path_errors()
def inspect(
    name: str,
    *,
    weights: Path | None = None,
    instances: Path | None = None,
    truncation: float | None = None,
    out: Path | None = None,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Properties of a generator; with `out`, also a PNG of samples: 8 rows of 16, or 4 rows of 8 above 32 pixels.

    Args:
        name: a registered generator.
        weights: its weights file; None: the one shipped with copgen or imported.
        instances: stored instances of an IC-GAN, if its weights have none.
        truncation: the scale of a truncated normal, if the generator has a choice of priors.
        out: the PNG to write, or None.
        device: where to time it.
        seed: of the samples and their conditions.

    Returns:
        Parameters, latent, prior, condition, image shape, hash of the weights, seconds per image and the batch size of
        the timing, `settings` of the generator, and `made_by` if the file records it.
    """
    where = resolve_device(device)
    G = generators.load(name, weights=weights, instances=instances, truncation=truncation, device=where)
    rows, columns, batch = SMALL if G.image_size <= _SMALL_SIDE else LARGE
    indices = range(rows * columns)
    z, condition = G.sample_prior(indices, seed), G.sample_condition(indices, seed)
    parts = [slice(start, start + batch) for start in range(0, len(indices), batch)]

    def images_of(part: slice) -> Tensor:
        images: Tensor = G(z[part], condition[part] if condition is not None else None)
        return images.cpu()

    images_of(parts[0])
    start = time.monotonic()
    images = torch.cat([images_of(part) for part in parts])
    seconds = time.monotonic() - start
    if out is not None:
        save_picture(out, grid_picture(list(torch.split(images, columns))))
    return {
        "name": G.name,
        "parameters": G.parameter_count,
        "latent_dim": G.latent_dim,
        "prior": G.prior.model_dump(mode="json"),
        "condition": next(iter(G.describe_condition(condition[:1])[0])) if condition is not None else None,
        "image_shape": [G.channels, G.image_size, G.image_size],
        "weights_sha256": G.weights_sha256,
        "seconds_per_image": seconds / len(images),
        "batch": batch,
        "device": where.type,
        "settings": dict(G.settings),
        "made_by": dict(G.made_by),
        "picture": str(out) if out is not None else None,
    }
