"""`copgen navigate`: Algorithm 1. T_z learns to make positives that f finds hard to match, within d(z, z') <= delta.

The players are in game.py, the settings in navigate_settings.py, what is written about a run in navigate_report.py.

Legend: K batch size, of all ranks; z, z' (K, dim) latents; y classes or instances; x, x' images in [-1, 1]; v, v'
views; T_z the navigator, T_x the data-space augmentation, f the encoder with its projector (thrown away), L the loss in
nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import generators, views
from copgen.distributed.ranks import Ranks, check_divides, joined
from copgen.generators.class_batches import check_classes, draw_classes
from copgen.generators.conditions import Conditions
from copgen.generators.settings import terms
from copgen.latents.navigator import FILE_NAME, save_navigator
from copgen.objectives import chance_level
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import cpu_threads, resolve_device, threads_of_each
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.report import SHIFT, ending, provenance, save_preview, summarise
from copgen.stages.navigate.settings import NavigateSettings
from copgen.storage.files import read_json, write_json
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.out_of_memory import explained
from copgen.training.readings import Reading, Readings
from copgen.training.run_folder import Logged, RunFolder
from copgen.training.stop_rules import TurnDetector

__all__ = ["estimate", "navigate"]

SUMMARY = "summary.json"


def navigate(
    settings: NavigateSettings, *, out: Path, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train a navigator and write `navigator.safetensors` into the run folder `out`; returns its summary.

    One process of several (torchrun) takes its share of each batch; rank 0 alone writes, and has the events.

    Raises:
        UsageError, DataError, EnvironmentFault: as the settings, the weights and the folder give cause.
        Diverged: a loss is not finite; nothing was updated with it, nor afterwards.
        Stopped: a signal came; the state is saved and the same call goes on.
    """
    with joined(resolve_device(settings.device)) as (ranks, device):
        return navigate_as(ranks, settings, device, out=out, overwrite=overwrite, events=events or Silent())


def navigate_as(
    ranks: Ranks, settings: NavigateSettings, device: torch.device, *, out: Path, overwrite: bool, events: Events
) -> dict[str, Any]:
    """This process's part of a run."""
    with ranks.together():
        check_batch(settings, world=ranks.world)
        G = settings.load_generator(device)
        T_x = views.policy(settings.views)
        # What cannot be meant is refused here, before anything in the folder is touched.
        views.plain(torch.zeros(1, G.channels, G.image_size, G.image_size), T_x)
        check_conditions(settings, G)
        game = Game(settings, G, device, ranks)
    with opened(settings, G, device, ranks, out=out, overwrite=overwrite) as run:
        if ranks.any(run.finished):
            return dict(ranks.broadcast(read_json(run.path / SUMMARY) if ranks.first else None))
        heard = Logged(events, run.path / "log.txt") if ranks.first else Silent()
        if note := terms(G):
            heard.say(note)

        def try_out(K: int) -> None:
            one_update(settings, G, T_x, Game(settings, G, device), range(K), ranks=Ranks())

        parts_of_batch = parts(settings, ranks.world)
        with explained(try_out, device, batch=settings.batch, world=ranks.world, parts=parts_of_batch):
            return play(settings, G, T_x, game, run, heard, device=device, ranks=ranks)


def play(
    settings: NavigateSettings,
    G: generators.Generator,
    T_x: views.Policy,
    game: Game,
    run: RunFolder,
    events: Events,
    *,
    device: torch.device,
    ranks: Ranks,
) -> dict[str, Any]:
    """Algorithm 1, from the newest checkpoint to the end; returns the summary."""
    turn = TurnDetector(smoothing=settings.turn_smoothing, rise=settings.turn_rise)
    K = settings.batch
    readings = Readings(every=settings.read_every or (20 if device.type == "cuda" else 1))
    allowed = allowed_violations(settings)

    def settle() -> None:
        """Read what the device has been keeping, log it, and see whether one of those updates was the end."""
        for reading in readings.read():
            if not training.ended_early:
                take(reading)

    def take(reading: Reading) -> None:
        update, found = reading.update, reading.values
        loss_f, loss_T = found["loss_encoder"], found["loss_navigator"]
        if settings.stop == "delta" and found["violations"] > allowed:
            training.end_early("delta", done=update)  # before it: Algorithm 1 returns and learns nothing from it
            return
        training.check_finite(update, loss_encoder=loss_f, loss_navigator=loss_T)
        turned = turn.watch(loss_f, reading.weights)
        losses = {"loss_encoder": loss_f, "loss_navigator": loss_T, "chance": chance_level(settings.batch)}
        shift = {name: found[name] for name in SHIFT}
        training.log(update, {**losses, "loss_smoothed": turn.smoothed(), **shift})
        if settings.stop == "turn" and turned:
            training.end_early("turn", done=update + 1)

    with Training(
        run,
        state={**game.state, "turn": turn},
        updates=settings.updates,
        samples_per_update=K,
        checkpoint_every=settings.checkpoint_every,
        events=events,
        title="navigate",
        settle=settle,
        ranks=ranks,
        agree_every=readings.every,
    ) as training:
        for update in training:
            figures = one_update(settings, G, T_x, game, range(update * K, (update + 1) * K), ranks=ranks)
            weights = game.T_z.state_dict() if settings.stop == "turn" else None
            readings.note(update, figures, weights=weights)
            snapshot, preview = (crosses(n, update, K) for n in (settings.snapshot_every, settings.preview_every))
            if readings.full or snapshot or preview:
                settle()
            if ranks.first and not training.ended_early:
                name = f"samples-{(update + 1) * K:010d}"
                if snapshot:
                    place = run.path / "snapshots" / f"{name}.safetensors"
                    save_navigator(place, game.T_z, made_by=provenance(settings, G))
                if preview:
                    save_preview(run.path / "previews" / f"{name}.png", G, game.T_z, settings.seed)
        ended = training.ended_early or "samples"
        if ended == "turn":
            game.T_z.load_state_dict(turn.best)
        summary = summarise(settings, G, game.T_z, ended=ended, updates=training.done, turn=turn)
    events.say(ending(summary))
    with ranks.together():
        if ranks.first:
            save_preview(run.path / "previews" / "final.png", G, game.T_z, settings.seed)
            write_json(run.path / SUMMARY, summary)
            save_navigator(run.artefact, game.T_z, made_by={**provenance(settings, G), "summary": summary})
    return summary


def one_update(
    settings: NavigateSettings,
    G: generators.Generator,
    T_x: views.Policy,
    game: Game,
    rows: range,
    *,
    ranks: Ranks,
) -> dict[str, Tensor]:
    """The body of Algorithm 1's loop for the rows of one batch; its figures, still on the device."""
    seed = settings.seed
    # Latents cost nothing: each rank moves those of all, so that all see the same d(z, z').
    z = G.sample_prior(rows, seed).to(game.dtype)
    moved = game.T_z.move(z, delta=settings.delta)
    if settings.stop == "delta":
        game.halt_where(moved.stats[0] > allowed_violations(settings))
    own = ranks.share(rows)
    mine = slice(own.start - rows.start, own.stop - rows.start)
    y = draw_conditions(settings, G, own, device=z.device)
    x, x_pos = game.paint(z[mine], moved.z_pos[mine], y)
    v = views.augment(x, T_x, seed=seed, rows=own, stream="views/anchor").to(game.dtype)
    v_pos = views.augment(x_pos, T_x, seed=seed, rows=own, stream="views/positive").to(game.dtype)
    return {**game.play(v, v_pos, y), **moved.scalars()}


def allowed_violations(settings: NavigateSettings) -> int:
    """How many pairs of a batch may be further apart than delta, so that the share that must keep to it does."""
    K = settings.batch
    return next(over for over in range(K, -1, -1) if (K - over) / K >= settings.delta_share)


@contextmanager
def opened(
    settings: NavigateSettings,
    G: generators.Generator,
    device: torch.device,
    ranks: Ranks,
    *,
    out: Path,
    overwrite: bool,
) -> Iterator[RunFolder]:
    """The run folder, held by the first rank; all of them refuse what it refuses."""
    folder = RunFolder(out, stage="navigate", artefact=FILE_NAME)
    inputs = {"generator": G.weights_sha256}
    if instances := G.settings.get("instances_sha256"):
        inputs["instances"] = str(instances)
    with ExitStack() as held:
        with ranks.together():
            if ranks.first:
                held.enter_context(folder.open(settings, device=device, overwrite=overwrite, inputs=inputs))
        yield folder


def check_batch(settings: NavigateSettings, *, world: int) -> None:
    """Refuse a batch that so many ranks, or its classes, do not divide."""
    check_divides(settings.batch, parts(settings, world))


def parts(settings: NavigateSettings, world: int) -> dict[str, int]:
    """What has to divide a batch."""
    found = {f"{world} ranks": world} if world > 1 else {}
    if settings.objective == "sup_con":
        classes = settings.classes_of_a_batch
        found["classes of two images" if settings.classes is None else f"{classes} classes"] = (
            2 if settings.classes is None else classes
        )
    return found


def check_conditions(settings: NavigateSettings, G: generators.Generator) -> None:
    """Refuse the supervised objective where the generator has no classes, or too few."""
    if settings.objective == "sup_con":
        classes = settings.classes_of_a_batch
        if G.condition_rule != Conditions():
            raise UsageError(
                "Objective 'sup_con' draws the classes of each batch itself; a rule or list of conditions was given.",
                fix="Leave out conditions and condition_list.",
            )
        check_classes(batch=settings.batch, classes=classes, count=G.conditions, name=G.name)


def draw_conditions(
    settings: NavigateSettings, G: generators.Generator, rows: range, *, device: torch.device
) -> Tensor | None:
    """What the images of a pair share: as the generator draws it, or a few classes with several images each."""
    if settings.objective == "info_nce":
        return G.sample_condition(rows, settings.seed)
    return draw_classes(
        rows,
        batch=settings.batch,
        classes=settings.classes_of_a_batch,
        count=G.conditions,
        seed=settings.seed,
        device=device,
    )


def crosses(interval: int, update: int, K: int) -> bool:
    """Whether the samples drawn pass a multiple of `interval` with this update."""
    return (update + 1) * K // interval > update * K // interval


def estimate(settings: NavigateSettings, *, world: int = 1) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    Of several ranks on this machine it does the first one's share of those updates, which leaves out what they tell
    each other; the memory is that of one rank.
    """
    check_batch(settings, world=world)
    few = {"samples": min(settings.samples, 4 * settings.batch), "stop": "samples", "read_every": 1}
    short = settings.model_copy(update=few)
    more = {
        FILE_NAME: settings.samples // settings.snapshot_every,
        "previews/final.png": settings.samples // settings.preview_every,
    }
    device, ranks = resolve_device(settings.device), Ranks(world=world)
    with cpu_threads(threads_of_each(world)):
        found = rehearse_training(
            lambda folder: navigate_as(ranks, short, device, out=folder, overwrite=False, events=Silent()),
            updates=settings.updates,
            more=more,
            device=device,
        )
    return {**found, "ranks": world, "batch_per_rank": settings.batch // world} if world > 1 else found
