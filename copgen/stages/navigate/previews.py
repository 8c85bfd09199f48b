"""The pictures of a navigate run: the same anchors above their positives, at intervals, and under other transforms.

Each is a call that writes it, from any thread; its images are only queued on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from copgen import generators
from copgen.latents.genrep import GENREP_THRESHOLD
from copgen.latents.navigator import Navigator
from copgen.latents.transforms import Gaussian, Random
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.device_copies import Arrival, to_host
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.limits import prior_std

PAIRS = 16


def name_of(samples: int) -> str:
    """The name of the preview after so many samples."""
    return f"samples-{samples:010d}"


@torch.no_grad()
def preview(run: Path, name: str, G: generators.Generator, T_z: Navigator, seed: int) -> Callable[[], None]:
    """Sixteen anchors above their positives, of T_z as it is now; the same latents each time."""
    rows = range(PAIRS)
    z = G.sample_prior(rows, seed)
    return _picture(run, name, G, seed, z, [T_z(z.to(next(T_z.parameters()).dtype), seed=seed, rows=rows)])


@torch.no_grad()
def baselines(run: Path, G: generators.Generator, settings: NavigateSettings) -> Callable[[], None]:
    """The same anchors above positives that need no training, as in the paper's Figure 5.

    Rows: anchors; another latent with the same condition; GenRep's Gaussian step, if its standard deviation is known
    for the generator.
    """
    rows, seed = range(PAIRS), settings.seed
    z = G.sample_prior(rows, seed)
    transforms: list[Random | Gaussian] = [Random(G.prior, seed)]
    if (std := prior_std(settings)) is not None:
        transforms.append(Gaussian(std, seed, GENREP_THRESHOLD))
    return _picture(run, "baselines", G, seed, z, [transform(z, None, rows) for transform in transforms])


def _picture(
    run: Path, name: str, G: generators.Generator, seed: int, z: Tensor, moved: Sequence[Tensor]
) -> Callable[[], None]:
    condition = G.sample_condition(range(PAIRS), seed)
    rows = [to_host(G(latents, condition)) for latents in (z, *moved)]
    arrival = Arrival(z.device)

    def write() -> None:
        arrival.wait()
        save_picture(run / "previews" / f"{name}.png", grid_picture(rows))

    return write
