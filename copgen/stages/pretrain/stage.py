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
from copgen.data.loaders.choice import Chosen, build_loader
from copgen.data.loaders.loader import LoaderConfig
from copgen.data.loaders.prefetched import Prefetched
from copgen.data.opening import open_source
from copgen.data.pairs_folder import PairsFolder
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
from copgen.stages.pretrain.origin import origin
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training, sum_of
from copgen.training.optimizers import build_optimizer
from copgen.training.precision import warning_about
from copgen.training.run import Run, started
from copgen.training.schedules import Cosine

__all__ = ["check", "estimate", "open_data", "pretrain"]

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
    with new_run(
        settings,
        out,
        device=settings.device,
        deterministic=settings.deterministic,
        overwrite=overwrite,
        events=events,
    ) as run:
        return learn(settings, run)


def learn(settings: PretrainSettings, run: Run) -> dict[str, Any]:
    """The part of this process in the training, from the newest checkpoint to the end."""
    source = open_data(settings, run.device, events=run.listener if run.ranks.first else None)
    T_x = policy_for(settings, source)
    K, updates = settings.batch, settings.updates_over(len(source))
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
    skipped = Skipped(settings.skip_bad)
    monitor = Monitor(settings, source, T_x, skipped, method, run.device) if every and run.ranks.first else None
    chosen = open_loader(settings, source, T_x, skipped, run.device)
    loader = Prefetched(chosen.loader, run.device, stride=K, end=updates * K)
    length = f"{len(source):,} {items_of(settings)}: {updates:,} updates of {K:,}."
    warmup = max(1, round(settings.warmup_epochs * len(source) / K))

    def try_update(rows: int) -> None:
        loader.stop()
        batch = chosen.loader[range(rows)]
        learner.backward(sum_of(learner.losses(batch.views, batch.labels)))

    # Chunks, and not the batch, bound the memory; and an update of several ranks would wait for the others.
    can_try = settings.chunk is None and run.ranks.world == 1
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
            note=f"{length} Loader: {chosen.name} ({chosen.reason}).",
            warning=warning_about(settings.precision, run.device),
            read_every=settings.read_every,
            track=settings.track,
            try_update=try_update if can_try else None,
            remedy=less_memory(settings, world=run.ranks.world),
        ) as training,
    ):
        for update in training:
            with training.waiting():
                batch = loader[run.ranks.share(training.samples)]
            if settings.skip_bad and (run.ranks.world == 1 or training.synchronises):
                for unreadable in skipped.news(run.ranks):
                    run.events.warn(f"Skipped: {unreadable}")
            losses = learner.losses(batch.views, batch.labels)
            due = every > 0 and training.due(every)  # on all ranks, so that all read the metrics and raise together
            probed = monitor.metrics() if due and monitor is not None else {}
            training.step(losses, {**method.chance(K), **method.metrics(), **probed}, backward=learner.backward)
            method.after_step(update)

    if not run.finished and isinstance(source, PairsFolder) and (left := source.unverified()):
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
            path, method.backbone, learner.config, run.made_by(summary=summary, **origin(source))
        ),
    )


def check(settings: PretrainSettings) -> None:
    """Refuse settings that cannot work, as far as they tell without data.

    Raises:
        UsageError: an unknown name.
    """
    encoders.check_architecture(settings.encoder)
    views.policy(settings.views)


def open_data(
    settings: PretrainSettings, device: torch.device | None = None, *, events: Events | None = None
) -> Source:
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
        events=events,
    )


def policy_for(settings: PretrainSettings, source: Source) -> views.Policy:
    """T_x, with a size of the views if the settings give one, or if the images have different sizes.

    Raises:
        UsageError: an unknown policy, or one for another number of channels than the images have.
    """
    T_x = views.policy(settings.views)
    size = settings.size or (SIZE if source.size is None else None)
    if size is not None:
        T_x = T_x.model_copy(update={"size": size})
    views.plain(torch.zeros(1, source.channels, 1, 1), T_x)  # raises if the channels differ
    return T_x


def check_batch(settings: PretrainSettings, source: Source, *, world: int) -> None:
    """Refuse a batch that is larger than the data, or that the ranks cannot share."""
    if len(source) < settings.batch:
        raise UsageError(
            f"A batch of {settings.batch} is larger than the {len(source)} {items_of(settings)}.", fix="Lower --batch."
        )
    check_divides(settings.batch, {f"{world} ranks": world} if world > 1 else {})


def open_loader(
    settings: PretrainSettings, source: Source, T_x: views.Policy, skipped: Skipped, device: torch.device
) -> Chosen:
    """The loader of the settings, and why it was chosen; errors as `build_loader`."""
    config = LoaderConfig(
        source=source,
        policy=T_x,
        seed=settings.seed,
        count=1 + settings.positives,
        device=device,
        workers=settings.workers,
        skipped=skipped,
    )
    return build_loader(settings.loader, config)


def items_of(settings: PretrainSettings) -> str:
    """What messages call the items of the data."""
    return "pairs" if settings.pairs is not None else "images"


def less_memory(settings: PretrainSettings, *, world: int) -> str:
    """What the message about too little memory advises, beside the batch that fits, where that is known."""
    if settings.chunk is not None:
        return "use a smaller --chunk or --size"
    return f"{'lower --batch, or ' if world > 1 else ''}use --chunk or a smaller --size"


def estimate(settings: PretrainSettings, *, world: int = 1) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    With several ranks on this machine, it runs the share of rank 0 without the communication.
    """
    updates = settings.updates_over(len(open_data(settings)))
    short = settings.replaced(updates=min(updates, 5))
    device = resolve_device(settings.device)

    def rehearse(folder: Path) -> None:
        with new_run(
            short,
            folder,
            device=settings.device,
            deterministic=settings.deterministic,
            ranks=Ranks(world=world),
            rehearsal=True,
        ) as run:
            learn(short, run)

    return rehearse_training(rehearse, updates=updates, device=device)
