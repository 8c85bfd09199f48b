"""The authors' way of writing pairs: one process, a folder of PNG files, a pickle of latents.

Reimplemented: float32, spectral norm recomputed at every call, images moved to the CPU batch by batch, converted one by
one by (x + 1) / 2 * 256, clipped and truncated, and saved by Pillow; latents in a dictionary.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import generators_reference as reference
from benchmarks import generators_weights
from copgen.generators.protocol import Generator

Paint = Callable[[Tensor], Tensor]


def painter(G: Generator, weights: Path | None) -> Paint:
    """A function from z (N, dim) to the images of the reference networks, with sigma recomputed at every call."""
    if weights is None:
        return reference.flow(G)
    tensors, config = generators_weights.published("bigbigan", weights)
    return lambda z: reference.biggan(tensors, config, z, tensors["shared.weight"][:1].expand(len(z), -1))


@torch.no_grad()
def write(
    out: Path, G: Generator, paint: Paint, transform: Callable[..., Tensor], *, pairs: int, batch: int, seed: int
) -> None:
    """Write one class folder of pairs."""
    out.mkdir(parents=True)
    latents: dict[str, list[Any]] = {}
    for start in range(0, pairs, batch):
        rows = range(start, min(start + batch, pairs))
        z = G.sample_prior(rows, seed)
        z_pos = transform(z, None, rows)
        for kind, latent in (("anchor", z), ("neighbor", z_pos)):
            images = paint(latent).cpu().numpy()
            for row, image, point in zip(rows, images, latent.cpu().numpy(), strict=True):
                name = f"seed{seed:04d}_sample{row:05d}_{kind}.png"
                pixels = np.clip((image.transpose(1, 2, 0) + 1) / 2.0 * 256, 0, 255).astype(np.uint8)
                Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out / name)
                latents[name] = [point, 0]
    with open(out / "z_dataset.pkl", "wb") as stream:
        pickle.dump(latents, stream)
