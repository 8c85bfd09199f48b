"""`copgen pretrain`: train an encoder on pairs, or on real images, with random views of each per update.

The data are in data/ (a pairs folder: x, x' = G(z), G(z'); real images: x' = x), its loaders in data/loaders, and the
method, with its heads and its loss, in methods/. learner.py passes views through it.

Legend: K batch size over all ranks; x images; v (K, C, S, S) views; T_x the data-space augmentation.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch

from copgen import encoders, views
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import Loader
from copgen.data.loaders.prefetched import Prefetched
from copgen.data.opening import open_source
from copgen.data.pairs_folder import PairsFolder
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.data.source import Source
from copgen.distributed.ranks import Ranks, check_divides
from copgen.encoders.encoder import FILE_NAME
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device
from copgen.stages.pretrain.learner import Learner
from copgen.stages.pretrain.monitor import Monitor
from copgen.stages.pretrain.online import OnlinePairs, online_settings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.optimizers import build_optimizer
from copgen.training.run import Run, started
from copgen.training.schedules import Cosine

__all__ = ["count_updates", "estimate", "open_data", "pretrain"]

SIZE = 128  # of the views of images whose sizes differ; section 4
new_run = partial(started, stage="pretrain", artefact=FILE_NAME)


def pretrain(
    settings: PretrainSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train an encoder and write `encoder.safetensors` into the run folder `out`; returns its summary.

    With several processes (torchrun, --nproc), each takes its share of every batch; only rank 0 writes and logs.

    Args:
        settings: of the encoder, its data and its training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        UsageError, DataError, EnvironmentFault: invalid settings, data or folder.
        Diverged: the loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    with new_run(settings, out, device=settings.device, overwrite=overwrite, events=events) as run:
        return learn(settings, run)


def learn(settings: PretrainSettings, run: Run) -> dict[str, Any]:
    """The part of this process in the training, from the newest checkpoint to the end."""
    source = open_data(settings, run.device)
    T_x = policy_for(settings, source)
    K, updates = settings.batch, count_updates(settings, len(source))
    check_batch(settings, source, world=run.ranks.world)
    learner = Learner(settings, source, T_x, updates, run.device, run.ranks)
    method = learner.method
    optimizer = build_optimizer(
        settings.optimizer,
        method.f,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        decay_norms=settings.decay_norms,
    )
    every = settings.monitor_every or (len(source) if settings.monitor is not None else 0)
    monitor = Monitor(settings, source, T_x, method, run.device) if every and run.ranks.first else None
    skipped = Skipped(settings.skip_bad)
    loader, kind, reason = load(settings, source, T_x, skipped, updates, run)
    things = "pairs" if settings.pairs is not None else "images"
    warmup = max(1, round(settings.warmup_epochs * len(source) / K))

    def one_update(samples: range, batches: Loader) -> dict[str, torch.Tensor]:
        batch = batches[samples]
        return learner.losses(batch.views, batch.labels)

    with (
        closing(loader),
        Training(
            run,
            state=method.parts,
            optimizer=optimizer,
            schedule=Cosine(settings.lr, updates, final=settings.final_lr, warmup=warmup),
            clip=settings.clip,
            updates=updates,
            batch=K,
            checkpoint_every=settings.checkpoint_every,
            title="pretrain",
            inputs=source.inputs,
            note=f"{len(source):,} {things}: {updates:,} updates of {K:,}. Loader: {kind} ({reason}).",
            read_every=settings.read_every,
            track=settings.track,
            try_update=lambda rows: learner.backward(sum_of(one_update(range(rows), loader.loader))),
        ) as training,
    ):
        for update in training:
            with training.waiting():
                batch = loader[run.ranks.share(training.rows)]
            for reason in skipped.news():
                run.events.warn(f"Skipped: {reason}")
            losses = learner.losses(batch.views, batch.labels)
            probed = monitor.metrics() if monitor is not None and training.due(every) else {}
            training.step(losses, {**method.chance(K), **method.metrics(), **probed}, backward=learner.backward)
            method.after_step(update)

    if isinstance(source, PairsFolder) and (left := source.unverified()):
        run.events.warn(f"{left}.")

    def summarise() -> dict[str, Any]:
        losses = run.logged("loss", updates=updates)[-20:]
        return {
            "updates": updates,
            "samples": updates * K,
            "pairs": len(source),
            "loss": sum(losses) / len(losses),
            **method.chance(K),
        }

    return run.finish(
        summarise,
        lambda path, summary: encoders.save_encoder(
            path, method.backbone, learner.config, run.made_by(summary=summary)
        ),
    )


def sum_of(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    """The sum of the losses."""
    return torch.stack(list(losses.values())).sum()


def open_data(settings: PretrainSettings, device: torch.device | None = None) -> Source:
    """The pairs folder, online pairs, or the dataset; errors as `open_source` and `online_settings`."""
    if settings.online:
        device = resolve_device(settings.device) if device is None else device
        return OnlinePairs(online_settings(settings), device, rounded=settings.round)
    return open_source(
        pairs=settings.pairs,
        dataset=settings.dataset,
        seed=settings.seed,
        split=settings.split,
        root=settings.data_root,
        labelled=settings.of_method.labelled,
    )


def policy_for(settings: PretrainSettings, source: Source) -> views.Policy:
    """T_x, with a size if the settings or images of different sizes ask for one; raises for images it cannot change."""
    T_x = views.policy(settings.views)
    size = settings.size or (SIZE if source.size is None else None)
    if size is not None:
        T_x = T_x.model_copy(update={"size": size})
    views.plain(torch.zeros(1, source.channels, 1, 1), T_x)
    return T_x


def check_batch(settings: PretrainSettings, source: Source, *, world: int) -> None:
    """Refuse a batch that is larger than the data, or that the ranks cannot share."""
    if len(source) < settings.batch:
        images = "pairs" if settings.pairs is not None else "images"
        raise UsageError(
            f"A batch of {settings.batch} is larger than the {len(source)} {images}.", fix="Lower --batch."
        )
    check_divides(settings.batch, {f"{world} ranks": world} if world > 1 else {})


def load(
    settings: PretrainSettings, source: Source, T_x: views.Policy, skipped: Skipped, updates: int, run: Run
) -> tuple[Prefetched, str, str]:
    """The loader, which makes the next batches meanwhile; its name, and why it was chosen."""
    chosen = build_loader(
        settings.loader,
        source,
        EpochSampler(len(source), settings.seed),
        T_x,
        seed=settings.seed,
        count=1 + settings.positives,
        device=run.device,
        workers=settings.workers,
        skipped=skipped,
    )
    ahead = Prefetched(chosen.loader, run.device, stride=settings.batch, end=updates * settings.batch)
    return ahead, chosen.name, chosen.reason


def count_updates(settings: PretrainSettings, pairs: int) -> int:
    """The number of updates: as given, or the whole batches in the epochs."""
    return settings.updates_over(pairs)


def estimate(settings: PretrainSettings, *, world: int = 1) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    With several ranks on this machine, it runs the share of rank 0 without the communication.
    """
    updates = count_updates(settings, len(open_data(settings)))
    short = settings.replaced(updates=min(updates, 5))
    device = resolve_device(settings.device)

    def rehearse(folder: Path) -> None:
        with new_run(short, folder, device=settings.device, ranks=Ranks(world=world)) as run:
            learn(short, run)

    return rehearse_training(rehearse, updates=updates, device=device)
