"""`displacement.json` of a navigate run: how T_z moves latents that it was not trained on.

The distances d(z, z') as a histogram, the split of T_z(z) into a constant, a linear and a nonlinear part, and the
displacement of each latent block. Written with each preview, so that it can be watched, and at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.latents.anatomy import noise_share, shares
from copgen.latents.navigator import Navigator
from copgen.runtime.device_copies import Arrival, to_host
from copgen.stages.navigate.settings import NavigateSettings
from copgen.storage.files import write_json

FILE_NAME = "displacement.json"
DRAWS, BINS = 4096, 40


@torch.no_grad()
def displacement(
    run: Path, settings: NavigateSettings, G: generators.Generator, T_z: Navigator, *, samples: int
) -> Callable[[], None]:
    """A call that measures T_z, as it is now after so many samples, and writes the document, from any thread."""
    first = settings.updates * settings.batch
    rows, seed = range(first, first + DRAWS), settings.seed
    z = G.sample_prior(rows, seed).to(next(T_z.parameters()).dtype)
    # Of several positives with noise, the displacements of the first two tell its share.
    T = [to_host(T_z.displace(z, seed=seed, rows=rows, which=which)) for which in range(2 if T_z.noise_dim else 1)]
    on_host = to_host(z), *T
    arrival = Arrival(z.device)

    def write() -> None:
        arrival.wait()
        write_json(run / FILE_NAME, {"samples": samples, **measured(*on_host, blocks=G.latent_blocks)})

    return write


@torch.no_grad()
def measured(z: Tensor, T: Tensor, other: Tensor | None = None, *, blocks: Sequence[int]) -> dict[str, Any]:
    """The measurements of a displacement T (N, dim) of latents z (N, dim).

    Args:
        z, T: on the CPU.
        other: the displacement with other noise, of a navigator that has some.
        blocks: coordinates in each latent block; none: one block.

    Returns:
        draws: N; d: the edges and counts of its histogram; split: shares of E|T|^2, with `noise` if there is any, None
        with too few draws for a fit; blocks: the root-mean-square displacement per coordinate of each block.
    """
    z, T = z.double(), T.double()
    draws, dim = z.shape
    d = T.square().mean(1).sqrt()
    top = float(d.max()) or 1.0
    ends = [*itertools.accumulate(blocks or (dim,), initial=0)]
    return {
        "draws": draws,
        "d": {
            "edges": torch.linspace(0.0, top, BINS + 1, dtype=torch.float64).tolist(),
            "counts": torch.histc(d, BINS, 0.0, top).long().tolist(),
        },
        "split": _split(z, T, other) if draws >= 2 * (dim + 1) else None,
        "blocks": [T[:, start:stop].square().mean().sqrt().item() for start, stop in itertools.pairwise(ends)],
    }


def _split(z: Tensor, T: Tensor, other: Tensor | None) -> dict[str, float]:
    found = dict(zip(("constant", "linear", "nonlinear"), shares(z, T), strict=True))
    if other is not None:
        found["noise"] = noise_share(T, other.double())
        found["nonlinear"] -= found["noise"]
    return found
