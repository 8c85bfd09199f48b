"""`copgen navigate`: learn T_z in a generator's latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.environment import placement
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.runtime.settings_files import config_table
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.steering_settings import SteeringSettings
from copgen.stages.sweep.settings import SweepSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.ranks import Nproc, launch_ranks, launches
from copgen_cli.resolving import recipe_of, refuse_both, text_of
from copgen_cli.running import length, train
from copgen_cli.steering import steer
from copgen_cli.sweeping import Seeds, run_sweep
from copgen_cli.watching import Port, Watch, wanted

DEFAULT_OUT = Path("runs/navigate")
Out = Annotated[Path | None, o.out("FOLDER", "Run folder (runs/navigate).")]


@command(
    "copgen navigate --generator digits --samples 20k",
    "copgen navigate --generator bigbigan --samples 200k",
    "copgen navigate --generator bigbigan --objective steering",
    "copgen navigate --stop delta --delta 0.2 --out runs/within-delta",
    "copgen navigate -g biggan-deep-128 --objective sup_con --nproc 4",
    "copgen navigate --generator digits --seeds 3",
    "copgen navigate --generator digits --watch",
    "copgen navigate --dry-run > mine.toml; copgen navigate --config mine.toml",
    settings=(NavigateSettings, SteeringSettings),
)
def navigate(
    flags: dict[str, Any],
    context: typer.Context,
    run: o.FolderRun,
    nproc: Nproc = None,
    seeds: Seeds = None,
    watch: Watch = False,
    port: Port = None,
    out: Out = None,
) -> None:
    """Learn the navigator T_z in a generator's latent space.

    Algorithm 1 of the paper: the encoder f minimises the contrastive loss,
    T_z maximises it. Run the same command to resume.
    """
    steering = flags.get("objective") == "steering"
    table = config_table(run.config, "steering" if steering else "navigate")
    generator = flags.get("generator") or text_of(table, "generator")
    recipe = run.recipe or recipe_of(generator or "digits")
    story = run.story(quiet=placement().rank > 0)
    refuse_both(nproc=nproc, seeds=seeds)
    served = wanted(watch, port)
    if watch and seeds is not None:
        raise UsageError("--watch shows one run, and --seeds makes several.", fix="Use copgen report --watch RUN.")
    if steering:
        for name, value in (("--nproc", nproc), ("--seeds", seeds)):
            if value is not None:
                raise UsageError(f"{name} cannot be used with --objective steering.", fix=f"Remove {name}.")
        steer(flags, run, story, recipe=recipe, out=out, port=served)
        return
    if seeds is not None:
        run_sweep(
            SweepSettings(recipe=recipe, config=run.config, settings=flags, seeds=seeds),
            run,
            story,
            out=out or DEFAULT_OUT,
            overwrite=run.overwrite,
        )
        return
    tell = None if launches(nproc, run) else story.warn  # otherwise rank 0 warns
    settings = resolve(NavigateSettings, "navigate", recipe=recipe, config=run.config, flags=flags, tell=tell)

    from copgen.latents.navigator import FILE_NAME
    from copgen.stages.navigate import stage

    world = placement().world
    if nproc is not None:
        stage.check_batch(settings, world=nproc)
        launch_ranks(nproc, run, context)
    story.delta = settings.delta
    artefact = (out or DEFAULT_OUT) / FILE_NAME
    elsewhere = ["--navigator", str(out)] if artefact.parent != DEFAULT_OUT else []
    train(
        stage.navigate,
        settings,
        run,
        story,
        artefact=artefact,
        kind="navigator",
        about=f"{length(settings.samples, settings.batch)}, generator {settings.generator}",
        estimate=lambda: stage.estimate(settings, world=nproc or world),
        rows=lambda summary: rows(artefact, summary),
        then=["copgen", "sample", "--out", "pairs/", "--n", "10k", *elsewhere],
        follows=placement().rank > 0,
        port=served,
    )


def rows(artefact: Path, summary: dict[str, Any]) -> list[Row]:
    """The result in rows."""
    shift = summary["shift"]
    found = [
        ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates, stopped by {summary['ended_by']}"),
        ("d(z, z')", f"{shift['d_mean']:.4f} mean, {shift['d_p95']:.4f} 95th percentile, per latent coordinate"),
        ("preview", str(artefact.parent / "previews" / "final.png")),
    ]
    if summary["loss_smoothed"] is not None:
        loss = f"{summary['loss_smoothed']:.3f} nats smoothed, chance {summary['chance']:.3f}"
        found.insert(1, ("encoder loss", loss))
    return found
