"""`copgen pretrain`: train an encoder on pairs, with two views of each pair per update.

The pairs come from a pairs folder (x, x' = G(z), G(z')), or from real images (x' = x), which is the reference row of
the paper's tables (data/). The method computes the loss of the views (methods/).

Legend: K batch size; x, x' (K, C, H, W) images in [-1, 1]; v, v' views; T_x the data-space augmentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from copgen import encoders, views
from copgen.data.sampler import EpochSampler
from copgen.data.source import Source, open_source
from copgen.distributed.ranks import Ranks
from copgen.encoders.encoder import FILE_NAME
from copgen.methods.method import Method
from copgen.methods.simclr import SimCLR
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device
from copgen.runtime.seeds import seeded
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.optimizers import build_optimizer
from copgen.training.run import started
from copgen.training.schedules import Cosine

__all__ = ["count_updates", "estimate", "open_data", "pretrain"]


def pretrain(
    settings: PretrainSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train an encoder and write `encoder.safetensors` into the run folder `out`; returns its summary.

    Args:
        settings: of the encoder, its data and its training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        UsageError, DataError, EnvironmentFault: invalid settings, pairs or folder.
        Diverged: the loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    with started(
        settings,
        out,
        stage="pretrain",
        artefact=FILE_NAME,
        device=settings.device,
        overwrite=overwrite,
        events=events,
        ranks=Ranks(),
    ) as run:
        T_x = views.policy(settings.views)
        data = open_data(settings)
        K, seed = settings.batch, settings.seed
        if len(data) < K:
            raise UsageError(f"A batch of {K} is larger than the {len(data)} pairs.", fix="Lower --batch.")
        updates = count_updates(settings, len(data))
        views.plain(torch.zeros(1, *data.image_shape), T_x)  # raises for images that T_x does not support
        channels, size, _ = data.image_shape
        config = encoders.EncoderConfig(
            arch=settings.encoder, in_channels=channels, image_size=size, views=settings.views
        )
        method = build_method(settings, config, run.device)
        optimizer = build_optimizer(settings.optimizer, method, lr=settings.lr, weight_decay=settings.weight_decay)
        sampler = EpochSampler(len(data), seed)

        def losses_of(rows: range) -> dict[str, torch.Tensor]:
            x, x_pos = (images.to(run.device) for images in data.batch(sampler[rows], rows))
            v = views.augment(x, T_x, seed=seed, rows=rows, stream="views/anchor")
            v_pos = views.augment(x_pos, T_x, seed=seed, rows=rows, stream="views/positive")
            losses: dict[str, torch.Tensor] = method(v, v_pos)
            return losses

        with Training(
            run,
            state=method.parts,
            optimizer=optimizer,
            schedule=Cosine(settings.lr, updates, final=settings.final_lr),
            updates=updates,
            batch=K,
            checkpoint_every=settings.checkpoint_every,
            title="pretrain",
            inputs=data.inputs,
            try_update=lambda rows: torch.autograd.backward(list(losses_of(range(rows)).values())),
        ) as training:
            for update in training:
                training.step(losses_of(training.rows), method.chance(K))
                method.after_step(update)

        def summarise() -> dict[str, Any]:
            losses = run.logged("loss")[-20:]
            return {
                "updates": updates,
                "samples": updates * K,
                "pairs": len(data),
                "loss": sum(losses) / len(losses),
                **method.chance(K),
            }

        return run.finish(
            summarise,
            lambda path, summary: encoders.save_encoder(path, method.backbone, config, run.made_by(summary=summary)),
        )


def open_data(settings: PretrainSettings) -> Source:
    """The pairs folder, or the dataset; errors as `open_source`."""
    return open_source(pairs=settings.pairs, dataset=settings.dataset, seed=settings.seed)


def build_method(settings: PretrainSettings, config: encoders.EncoderConfig, device: torch.device) -> Method:
    """The method with a new encoder, initialised from the seed."""
    hidden, out = settings.projector
    with seeded(settings.seed, "pretrain/f"):
        method = SimCLR(config.build(), hidden=hidden, out=out, temperature=settings.temperature)
    return method.to(device).to(memory_format=torch.channels_last).train()


def count_updates(settings: PretrainSettings, pairs: int) -> int:
    """The number of updates: as given, or the whole batches in the epochs."""
    return settings.updates_over(pairs)


def estimate(settings: PretrainSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder."""
    updates = count_updates(settings, len(open_data(settings)))
    short = settings.replaced(updates=min(updates, 5))
    device = resolve_device(settings.device)
    return rehearse_training(lambda folder: pretrain(short, out=folder), updates=updates, device=device)
