"""`copgen navigate --objective steering`: directions in latent space that imitate edits of the image.

The walks of gan_steerability as GenRep trains them: a vector w_k for each edit (3-D and 2-D rotation, zoom, shift,
colour), such that z' = z + sum_k s_k w_k generates the edited image, for a random composition of edits with sliders s.
All vectors are trained together, for any generator at its own resolution. There is no adversary and no bound.

Legend: K batch size; z, z' (K, d) latents; x, x' images in [-1, 1]; y the edited x, and M the mask of its valid pixels.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.distributed.ranks import Ranks
from copgen.generators.settings import terms
from copgen.latents.walks import FILE_NAME, Walk, save_walk
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime import philox
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device
from copgen.stages.navigate.origin import inputs, source
from copgen.stages.navigate.steering_settings import SteeringSettings
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.optimizers import build_optimizer
from copgen.training.run import Run, started
from copgen.views import edits

PREVIEW_PAIRS = 16
STREAM = "steering/edits"
new_run = partial(started, stage="navigate steering", artefact=FILE_NAME, ranks=Ranks())


@torch.no_grad()
def new_walk(settings: SteeringSettings, G: generators.Generator) -> Walk:
    """A walk of edits whose vectors are normal with `init_std`; a function of the seed."""
    walk = Walk("edits", G.latent_dim, channels=G.channels, ranges=settings.edits)
    rows = range(walk.directions.shape[0])
    drawn = philox.normal(settings.seed, rows, G.latent_dim, stream="steering/start")
    walk.directions.copy_(settings.init_std * drawn)
    return walk


def steering_loss(x_pos: Tensor, y: Tensor, M: Tensor) -> Tensor:
    """Mean squared error over all channels of the pixels in M (K, 1, H, W) of the whole batch."""
    valid = M.expand_as(x_pos)
    loss: Tensor = ((x_pos - y).square() * valid).sum() / valid.sum().clamp(min=1)
    return loss


def navigate_steering(
    settings: SteeringSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train a walk and write `walk.safetensors` into the run folder `out`; returns its summary.

    Args:
        settings: of the walk and its training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        UsageError, DataError, EnvironmentFault: invalid settings, weights or folder.
        Diverged: the loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    with new_run(settings, out, device=settings.device, overwrite=overwrite, events=events) as run:
        return learn(settings, run)


def learn(settings: SteeringSettings, run: Run) -> dict[str, Any]:
    """The training, from the newest checkpoint to the end."""
    G = settings.load_generator(run.device)
    walk = new_walk(settings, G).to(run.device)
    optimizer = build_optimizer("adam", walk, lr=settings.lr, betas=settings.betas)
    with Training(
        run,
        state={"walk": walk},
        optimizer=optimizer,
        updates=settings.updates,
        batch=settings.batch,
        checkpoint_every=settings.checkpoint_every,
        title="steering",
        inputs=inputs(G),
        note=terms(G),
        try_update=lambda rows: torch.autograd.backward(one_update(settings, G, walk, range(rows))[0]),
    ) as training:
        for _ in training:
            loss, valid = one_update(settings, G, walk, training.samples)
            training.step({"loss": loss}, {"valid": valid})
            if training.due(settings.preview_every):
                name = f"samples-{training.samples.stop:010d}.png"
                save_preview(run.path / "previews" / name, settings, G, walk)

    def summarise() -> dict[str, Any]:
        losses = run.logged("loss", updates=settings.updates)
        return {
            "updates": settings.updates,
            "samples": settings.updates * settings.batch,
            "loss_first": mean(losses[:20]),
            "loss_last": mean(losses[-20:]),
            "rms": dict(zip(edits.names(G.channels), rms(walk), strict=True)),
        }

    def save(path: Path, summary: dict[str, Any]) -> None:
        save_preview(run.path / "previews" / "final.png", settings, G, walk)
        prior = G.prior.model_dump(mode="json")
        save_walk(path, walk, made_by=run.made_by(**source(G), prior=prior, summary=summary))

    return run.finish(summarise, save)


def one_update(settings: SteeringSettings, G: generators.Generator, walk: Walk, rows: range) -> tuple[Tensor, Tensor]:
    """The loss of the rows of one batch, and the share of valid pixels in the edited images."""
    seed = settings.seed
    z, condition = G.sample_prior(rows, seed), G.sample_condition(rows, seed)
    drawn = edits.draw_edits(settings.edits, channels=G.channels, seed=seed, rows=rows, stream=STREAM, device=z.device)
    with torch.no_grad():
        y, M = edits.edit(G(z, condition), drawn)
    x_pos = G(walk.steer(z, edits.sliders(drawn, settings.edits)), condition)
    return steering_loss(x_pos, y, M), M.double().mean()


def mean(values: list[float]) -> float:
    """The mean of a non-empty list."""
    return sum(values) / len(values)


def rms(walk: Walk) -> list[float]:
    """Root mean square of each vector over its coordinates: d(z, z') at slider 1."""
    values: list[float] = walk.directions.detach().double().square().mean(1).sqrt().tolist()
    return values


@torch.no_grad()
def save_preview(path: Path, settings: SteeringSettings, G: generators.Generator, walk: Walk) -> None:
    """A picture of sixteen images, their edits, and the images of the walk; the same latents each time."""
    rows, seed = range(PREVIEW_PAIRS), settings.seed
    z, condition = G.sample_prior(rows, seed), G.sample_condition(rows, seed)
    drawn = edits.draw_edits(
        settings.edits, channels=G.channels, seed=seed, rows=rows, stream="steering/preview", device=z.device
    )
    x = G(z, condition)
    y, M = edits.edit(x, drawn)
    x_pos = G(walk.steer(z, edits.sliders(drawn, settings.edits)), condition)
    save_picture(path, grid_picture([x, torch.where(M, y, torch.zeros_like(y)), x_pos]))


def estimate(settings: SteeringSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder."""
    short = settings.replaced(samples=min(settings.samples, 4 * settings.batch))

    def rehearse(folder: Path) -> None:
        with new_run(short, folder, device=settings.device, rehearsal=True) as run:
            learn(short, run)

    return rehearse_training(
        rehearse,
        updates=settings.updates,
        more={"previews/final.png": settings.samples // settings.preview_every},
        device=resolve_device(settings.device),
    )
