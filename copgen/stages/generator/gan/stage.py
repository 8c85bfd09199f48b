"""`copgen generator fit mnist --recipe gan`: a small GAN on the images of any small dataset.

Per update: a batch of real images and one of G's; the non-saturating logistic loss with R1 now and then, all images
through DiffAugment; Adam for both networks. The saved weights are an exponential moving average of G, whose batch norms
get fixed statistics at the end. All random numbers depend only on (seed, sample index).
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch

from copgen.distributed.ranks import Ranks
from copgen.generators.small_gan.generator import SmallGan, save_gan
from copgen.generators.small_gan.networks import GeneratorNetwork
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device
from copgen.stages.generator.gan.game import LOSSES, PRIOR, Game
from copgen.stages.generator.gan.settings import STAGE, FitGanSettings
from copgen.stages.generator.images import TrainingImages, load_images
from copgen.stages.generator.quality import assess
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.run import Run, started

ARTEFACT = "generator.safetensors"
STATISTICS, STATISTICS_OF_PREVIEW = 16, 2  # batches of 256 latents
ROWS, COLUMNS = 8, 16  # of a preview
new_run = partial(started, stage=STAGE, artefact=ARTEFACT, ranks=Ranks())


def fit_gan(
    settings: FitGanSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train a small GAN and write its `generator.safetensors` into the run folder `out`; returns settings and metrics.

    Args:
        settings: of the networks and their training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        DataError, EnvironmentFault, UsageError: invalid data, folder or settings.
        Diverged: a loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    with new_run(settings, out, device=settings.device, overwrite=overwrite, events=events) as run:
        images = load_images(settings, run.device, run.events)
        game = learn(settings, run, images)

        def conclude() -> dict[str, Any]:
            G = settled(game, batches=STATISTICS)
            picture(run.path, "final", G, game)
            return {
                "command": f"copgen generator fit {settings.dataset} --recipe gan",
                "settings": settings.tree(),
                **assess(SmallGan(copy.deepcopy(G), prior=PRIOR), settings, images),
            }

        def save(path: Path, summary: dict[str, Any]) -> None:
            save_gan(path, settled(game, batches=STATISTICS), prior=PRIOR, made_by=summary)

        return run.finish(conclude, save)


def learn(settings: FitGanSettings, run: Run, images: TrainingImages) -> Game:
    """The training loop; returns the trained players."""
    game = Game(settings, channels=images.channels, image_size=images.size, device=run.device)
    with Training(
        run,
        state=game.state,
        updates=settings.updates,
        batch=settings.batch,
        checkpoint_every=settings.checkpoint_every,
        title="fit",
        inputs=images.inputs,
        remedy="lower --batch",
    ) as training:
        for update in training:
            metrics = game.play(images[training.samples], update, training.samples)
            training.log(metrics, finite=LOSSES)
            if training.due(settings.preview_every):
                name = f"{training.samples.stop:09d}"
                picture(run.path, name, settled(game, batches=STATISTICS_OF_PREVIEW), game)
    return game


def settled(game: Game, *, batches: int) -> GeneratorNetwork:
    """A copy of the averaged generator in evaluation mode, with batch statistics of this many batches of latents."""
    G = copy.deepcopy(game.averaged)
    rows = (range(256 * k, 256 * (k + 1)) for k in range(batches))
    G.fix_statistics(game.latents(some, stream="gan/statistics") for some in rows)
    return G


@torch.no_grad()
def picture(run: Path, name: str, G: GeneratorNetwork, game: Game) -> None:
    """Samples of the same latents each time, in the run folder's `previews`."""
    images = G(game.latents(range(ROWS * COLUMNS), stream="gan/previews"))
    save_picture(run / "previews" / f"{name}.png", grid_picture(list(images.cpu().split(COLUMNS))))


def estimate(settings: FitGanSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    The final evaluation is not included.
    """
    short = settings.replaced(updates=min(settings.updates, 2 * settings.r1_every))

    def rehearse(folder: Path) -> None:
        with new_run(short, folder, device=settings.device, rehearsal=True) as run:
            game = learn(short, run, load_images(short, run.device))
            G = settled(game, batches=1)
            picture(run.path, "final", G, game)
            run.finish(dict, lambda path, _: save_gan(path, G, prior=PRIOR, made_by={}))

    more = {"previews/final.png": settings.samples // settings.preview_every}
    return rehearse_training(rehearse, updates=settings.updates, more=more, device=resolve_device(settings.device))
