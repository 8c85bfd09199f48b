"""`copgen navigate`: Algorithm 1. T_z learns to make positives that f finds hard to match, within d(z, z') <= delta.

The two networks are in players.py, the stop rules in stopping/, what the run leaves to look at in previews.py,
displacement.py and report.py.

Legend: K batch size over all ranks; z, z' (K, dim) latents; y classes or instances; x, x' images in [-1, 1]; v, v'
views; T_z the navigator, T_x the data-space augmentation, f the encoder with its projector (discarded), L the loss in
nats.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import encoders, generators, views
from copgen.distributed.ranks import Ranks
from copgen.evaluation.similarity import check_similarity
from copgen.generators.settings import terms
from copgen.latents.navigator import FILE_NAME, save_navigator
from copgen.objectives import chance_level
from copgen.runtime.events import Events
from copgen.runtime.machine import cpu_threads, resolve_device, threads_of_each
from copgen.stages.navigate.conditions import check_batch, check_conditions, draw_conditions, parts
from copgen.stages.navigate.displacement import displacement
from copgen.stages.navigate.origin import inputs, source
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.previews import baselines, name_of, preview
from copgen.stages.navigate.report import ending, summarise
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.snapshots import save_snapshot
from copgen.stages.navigate.stopping.checks import open_checks
from copgen.stages.navigate.stopping.limits import limits
from copgen.stages.navigate.stopping.names import LOSS_TURN
from copgen.stages.navigate.stopping.stopping import Stopping
from copgen.storage.background import BackgroundWriter
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.precision import warning_about
from copgen.training.run import Run, started

__all__ = ["check", "check_batch", "estimate", "navigate", "one_update"]

LOSSES = ("loss_encoder", "loss_navigator", "penalty")
ALONE = Ranks()


new_run = partial(started, stage="navigate", artefact=FILE_NAME)


def navigate(
    settings: NavigateSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train a navigator and write `navigator.safetensors` into the run folder `out`; returns its summary.

    With several processes (torchrun, --nproc), each takes its share of every batch; only rank 0 writes and logs.

    Args:
        settings: of the navigator and its training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        UsageError, DataError, EnvironmentFault: invalid settings, weights or folder.
        Diverged: a loss is not finite; it was not used for an update.
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


def learn(settings: NavigateSettings, run: Run) -> dict[str, Any]:
    """The part of this process in Algorithm 1, from the newest checkpoint to the end."""
    T_x = check(settings, world=run.ranks.world)
    G = settings.load_generator(run.device)
    views.plain(
        torch.zeros(1, G.channels, G.image_size, G.image_size), T_x
    )  # raises for images that T_x does not support
    check_conditions(settings, G)
    game = Game(settings, G, run.device, run.ranks)
    stopping = Stopping(settings, open_checks(settings, G, T_x, game, run))

    with (
        BackgroundWriter() as pictures,
        Training(
            run,
            state={**game.state, "turn": stopping},
            updates=settings.updates,
            batch=settings.batch,
            checkpoint_every=settings.checkpoint_every,
            title="navigate",
            inputs={**inputs(G), **stopping.inputs},
            note=terms(G),
            warning=" ".join(filter(None, (warning_about(settings.precision, run.device), stopping.warning))),
            stop=stopping,
            read_every=settings.read_every,
            track=settings.track,
            try_update=lambda K: one_update(settings, G, T_x, Game(settings, G, run.device), range(K)),
            parts=parts(settings, run.ranks.world),
            remedy="use --activation-checkpointing or --precision bf16",
        ) as training,
    ):
        if not training.done and not run.finished and run.ranks.first:
            before = preview(run.path, name_of(0), G, game.navigator(), settings.seed)
            pictures.submit(before, baselines(run.path, G, settings))
        for _ in training:
            metrics = one_update(settings, G, T_x, game, training.samples, ranks=run.ranks, stopping=stopping)
            if stopping.due(training.samples):
                metrics |= stopping.look(game.navigator(), training.samples)
            weights = game.T_z.state_dict() if LOSS_TURN in settings.stop_rules else None
            finite = [name for name in LOSSES if name in metrics]
            training.log({**metrics, "chance": chance_level(settings.batch)}, finite=finite, weights=weights)
            drawn = training.samples.stop
            if training.due(settings.snapshot_every) and run.ranks.first:
                made_by = run.made_by(**source(G))
                save_snapshot(run.path, game.navigator(), samples=drawn, kept=settings.snapshots_kept, made_by=made_by)
            if training.due(settings.preview_every) and run.ranks.first:
                T_z = game.navigator()
                picture = preview(run.path, name_of(drawn), G, T_z, settings.seed)
                pictures.submit(picture, displacement(run.path, settings, G, T_z, samples=drawn))
    # Checkpoints of older versions say "turn".
    ended = {"": "samples", "turn": "loss-turn"}.get(training.ended_early, training.ended_early)
    if stopping.choice is not None:
        game.T_z.load_state_dict(stopping.choice[1])
    kept = game.navigator()

    def conclude() -> dict[str, Any]:
        summary = summarise(settings, G, kept, ended=ended, updates=training.done, stopping=stopping)
        run.events.say(ending(summary))
        return summary

    def save(path: Path, summary: dict[str, Any]) -> None:
        preview(run.path, "final", G, kept, settings.seed)()
        displacement(run.path, settings, G, kept, samples=summary["kept"])()
        save_navigator(path, kept, made_by=run.made_by(**source(G), summary=summary))

    return run.finish(conclude, save)


def check(settings: NavigateSettings, *, world: int = 1) -> views.Policy:
    """T_x of settings that can work, as far as they tell without weights and data.

    Raises:
        UsageError: an unknown name, a batch that cannot be divided, a rule that does not apply.
    """
    check_batch(settings, world=world)
    generators.entry(settings.generator)
    encoders.check_architecture(settings.encoder)
    limits(settings)
    if (similarity := settings.watched_similarity) is not None:
        check_similarity(similarity)
    T_x = views.policy(settings.views)
    views.check_differentiable(T_x)
    return T_x


def one_update(
    settings: NavigateSettings,
    G: generators.Generator,
    T_x: views.Policy,
    game: Game,
    rows: range,
    *,
    ranks: Ranks = ALONE,
    stopping: Stopping | None = None,
) -> dict[str, Tensor]:
    """The body of Algorithm 1's loop for the rows of one batch; its metrics, still on the device.

    Args:
        ranks: the processes that share the batch.
        stopping: skips the update, and all that follow, if a limit is exceeded.
    """
    seed = settings.seed
    # Latents are cheap: each rank moves those of all ranks, so that all see the same d(z, z').
    z = G.sample_prior(rows, seed).to(game.dtype)
    updates_T_z = settings.updates_navigator(rows)
    with nullcontext() if updates_T_z else torch.no_grad():
        moved = game.T_z.move(z, delta=settings.delta, seed=seed, rows=rows)
    if stopping is not None and (skipped := stopping.skips(moved.stats)) is not None:
        game.halt.where(skipped)
    own = ranks.share(rows)
    mine = slice(own.start - rows.start, own.stop - rows.start)
    y = draw_conditions(settings, G, own, device=z.device)
    x, x_pos = game.paint(z[mine], moved.z_pos[mine], y)
    v = views.augment(x, T_x, seed=seed, rows=own, stream="views/anchor").to(game.dtype)
    v_pos = views.augment(x_pos, T_x, seed=seed, rows=own, stream="views/positive").to(game.dtype)
    penalty = stopping.penalty(x, x_pos) if stopping is not None and updates_T_z else None
    metrics = {} if penalty is None else {"penalty": ranks.mean(penalty)}
    if penalty is not None:
        game.halt.where(~metrics["penalty"].isfinite())
    losses = game.play(v, v_pos, y, penalty=penalty, navigator=updates_T_z)
    return {**losses, **metrics, **moved.scalars()}


def estimate(settings: NavigateSettings, *, world: int = 1) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    With several ranks on this machine, it runs the share of rank 0 without the communication; the memory is that of
    one rank.
    """
    check_batch(settings, world=world)
    updates = 3 + settings.encoder_updates  # at least one of T_z
    few = {"samples": min(settings.samples, updates * settings.batch), "stop": "samples"}
    short = settings.replaced(**few)
    more = {
        FILE_NAME: min(settings.samples // settings.snapshot_every, settings.snapshots_kept),
        "previews/final.png": settings.samples // settings.preview_every,
    }

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

    device = resolve_device(settings.device)
    with cpu_threads(threads_of_each(world)):
        found = rehearse_training(rehearse, updates=settings.updates, more=more, device=device)
    return {**found, "ranks": world, "batch_per_rank": settings.batch // world} if world > 1 else found
