"""`copgen generator fit mnist --recipe residual-flow`: a Residual Flow on the images of any small dataset.

Per update: a batch of real images with 256 grey values, uniformly dequantised; the rest is in likelihood.py. All random
numbers depend only on (seed, sample index).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.generators.residual_flow import ResidualFlow
from copgen.generators.residual_flow.generator import FITTED, FlowGenerator, save_flow
from copgen.latents.prior import Prior
from copgen.pairs.pixels import from_uint8
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device
from copgen.stages.generator import likelihood
from copgen.stages.generator.images import TrainingImages, load_images, open_split, read_pixels
from copgen.stages.generator.quality import assess
from copgen.stages.generator.residual_flow.settings import STAGE, FitResidualFlowSettings
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.run import Run, started

ARTEFACT = "generator.safetensors"
LEVELS = 256
WATCHED = 512  # validation images whose bits/dim are logged during training
INVERTED = 100  # images of which the error of the inverse is measured
ROWS, COLUMNS = 8, 16  # of a preview
new_run = partial(started, stage=STAGE, artefact=ARTEFACT, ranks=Ranks())


def fit_residual_flow(
    settings: FitResidualFlowSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Fit a Residual Flow and write `generator.safetensors` into the folder `out`; returns its settings and metrics.

    Args:
        settings: of the flow and its training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        DataError, EnvironmentFault, UsageError: invalid data, folder or settings.
        Diverged: the loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    prior = Prior(scale=settings.prior_scale)
    with new_run(settings, out, device=settings.device, overwrite=overwrite, events=events) as run:
        images = load_images(settings, run.device, run.events)
        held_out = held_out_pixels(settings)
        averaged = learn(settings, run, images, held_out)

        def conclude() -> dict[str, Any]:
            averaged.power_iterate(100)  # until the singular vectors have converged
            G = generator(averaged, prior)
            picture(run.path, "final", G)
            bits = {
                split: likelihood.estimated_bits(averaged, pixels, levels=LEVELS) for split, pixels in held_out.items()
            }
            told = ", ".join(f"{split} {found.mean:.3f} +- {found.error:.3f}" for split, found in bits.items())
            run.events.say(f"Bits/dim, estimated with their standard errors: {told or 'no held-out images'}.")
            found = assess(G, settings, images)
            real = from_uint8(some_of(images.pixels, INVERTED, settings))
            found["quality"]["inversion_error"] = float((G(G.encode(real)) - real).abs().max())
            return {
                "command": f"copgen generator fit {settings.dataset} --recipe residual-flow",
                "settings": settings.tree(),
                "bits_per_dim": {split: found.mean for split, found in bits.items()},
                "bits_per_dim_error": {split: found.error for split, found in bits.items()},
                **found,
            }

        def save(path: Path, summary: dict[str, Any]) -> None:
            save_flow(path, averaged, prior=prior, made_by=summary, name=FITTED)

        return run.finish(conclude, save)


def learn(
    settings: FitResidualFlowSettings, run: Run, images: TrainingImages, held_out: Mapping[str, Tensor]
) -> ResidualFlow:
    """The training loop; returns the averaged flow."""
    watched = some_of(held_out.get("validation", images.pixels[:0]), WATCHED, settings)

    def batch(rows: range) -> Tensor:
        return likelihood.dequantise(images.levels(rows).float(), levels=LEVELS, seed=settings.seed, rows=rows)

    def watch(averaged: ResidualFlow, training: Training) -> dict[str, float]:
        if not training.due(settings.preview_every):
            return {}
        picture(run.path, f"{training.samples.start:09d}", generator(averaged, Prior(scale=settings.prior_scale)))
        if not len(watched):
            return {}
        return {"validation_bits_per_dim": likelihood.estimated_bits(averaged, watched, levels=LEVELS).mean}

    return likelihood.learn(
        settings,
        run,
        config=settings.network.on(channels=images.channels, image_size=images.size),
        levels=LEVELS,
        images=batch,
        checkpoint_every=settings.checkpoint_every,
        inputs=images.inputs,
        watch=watch,
    )


def held_out_pixels(settings: FitResidualFlowSettings) -> dict[str, Tensor]:
    """The images (N, C, S, S), uint8, of the splits that are not used in training, if there are any."""
    found = {}
    for split in ("validation", "test"):
        if split == "validation" and settings.split != "train":
            continue
        try:
            source = open_split(settings, split)
        except UsageError:  # a folder without a test split
            continue
        if len(source) > 1:
            found[split] = read_pixels(settings, source, items=torch.arange(len(source)))
    return found


def some_of(images: Tensor, most: int, settings: FitResidualFlowSettings) -> Tensor:
    """At most so many random ones of images (N, ...): files may be in the order of their classes."""
    order = philox.permutation(settings.seed, len(images), stream=f"{settings.stream}/some")
    return images[order[:most].to(images.device)]


def generator(averaged: ResidualFlow, prior: Prior) -> FlowGenerator:
    """G of a copy of the averaged flow."""
    return FlowGenerator(copy.deepcopy(averaged), name=FITTED, prior=prior)


@torch.no_grad()
def picture(run: Path, name: str, G: FlowGenerator) -> None:
    """Samples of the same latents each time, in the run folder's `previews`."""
    images = G(G.sample_prior(range(ROWS * COLUMNS), 0))
    save_picture(run / "previews" / f"{name}.png", grid_picture(list(images.cpu().split(COLUMNS))))


def estimate(settings: FitResidualFlowSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    The final evaluation is not included.
    """
    short = settings.replaced(updates=min(settings.updates, 5))

    def rehearse(folder: Path) -> None:
        with new_run(short, folder, device=settings.device, rehearsal=True) as run:
            flow = learn(short, run, load_images(short, run.device), {})
            prior = Prior(scale=settings.prior_scale)
            picture(run.path, "final", generator(flow, prior))
            run.finish(dict, lambda path, _: save_flow(path, flow, prior=prior, made_by={}, name=FITTED))

    more = {"previews/final.png": settings.samples // settings.preview_every}
    return rehearse_training(rehearse, updates=settings.updates, more=more, device=resolve_device(settings.device))
