"""`copgen pretrain`: train an encoder on pairs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.environment import placement
from copgen.runtime.errors import DataError
from copgen.runtime.settings import resolve
from copgen.stages.pretrain.settings import PretrainSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.ranks import Nproc, launch_ranks, launches
from copgen_cli.resolving import recipe_of
from copgen_cli.running import length, train
from copgen_cli.watching import Port, Watch, wanted

DEFAULT_OUT, DEFAULT_PAIRS = Path("runs/pretrain"), Path("pairs")
Out = Annotated[Path, o.out("FOLDER", "Run folder.")]


@command(
    "copgen pretrain --pairs pairs/",
    "copgen pretrain --pairs pairs/ --epochs 20 --batch 256 --out runs/short",
    "copgen pretrain --pairs online:runs/navigate --online-n 10k",
    "copgen pretrain --dataset digits --method byol --out runs/real",
    settings=(PretrainSettings,),
)
def pretrain(
    flags: dict[str, Any],
    context: typer.Context,
    run: o.FolderRun,
    nproc: Nproc = None,
    watch: Watch = False,
    port: Port = None,
    out: Out = DEFAULT_OUT,
) -> None:
    """Train an encoder on pairs, or on real images.

    Run the same command to resume.
    """
    resolved = partial(
        resolve, PretrainSettings, "pretrain", config=run.config, flags=flags, known={"pairs": DEFAULT_PAIRS}
    )
    story = run.story(quiet=placement().rank > 0)
    served = wanted(watch, port)
    tell = None if launches(nproc, run) else story.warn  # otherwise rank 0 warns
    settings = resolved(recipe=run.recipe or recipe_of_source(resolved()), tell=tell)

    from copgen.distributed.ranks import check_divides
    from copgen.encoders.encoder import FILE_NAME
    from copgen.stages.pretrain import stage

    check_divides(settings.batch, {f"{nproc} ranks": nproc} if nproc else {})
    launch_ranks(nproc, run, context)
    train(
        stage.pretrain,
        settings,
        run,
        story,
        artefact=out / FILE_NAME,
        kind="encoder",
        about=about(settings),
        estimate=lambda: stage.estimate(settings, world=nproc or placement().world),
        rows=lambda summary: [
            ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates"),
            ("loss", loss_of(summary)),
        ],
        then=["copgen", "eval", "linear", "--ckpt", str(out)],
        follows=placement().rank > 0,
        port=served,
    )


def loss_of(summary: dict[str, Any]) -> str:
    """The loss of a finished run, against its chance level if the method has one."""
    chance = f" nats, chance {summary['chance']:.3f}" if "chance" in summary else ""
    return f"{summary['loss']:.3f}{chance}"


def recipe_of_source(settings: PretrainSettings) -> str | None:
    """The recipe of the generator whose pairs a folder holds, or of a dataset.

    None for imported pairs, which have no generator, and for an unknown dataset, which the stage refuses.

    Raises:
        DataError: there is no such folder, or its plan fails verification.
    """
    from copgen.pairs import Plan, layout, read_plan
    from copgen.runtime.urls import refuse_url

    if settings.pairs is not None and settings.online:
        from copgen.stages.pretrain.online import generator_of

        return recipe_of(generator_of(settings.pairs))
    if settings.pairs is None:
        from copgen.data.datasets import DATASETS

        known = DATASETS.get(str(settings.dataset))
        return None if known is None else known.recipe
    refuse_url(settings.pairs)
    if not (settings.pairs / layout.PLAN).exists():
        raise DataError(
            f"There are no pairs in {settings.pairs} ({layout.PLAN} is missing).",
            fix=f"Make them with copgen sample --out {settings.pairs}, or pass --pairs.",
        )
    plan = read_plan(settings.pairs)
    return recipe_of(plan.generator.name) if isinstance(plan, Plan) else None


def about(settings: PretrainSettings) -> str:
    """The length of the run and its data; how many images a dataset has, the stage finds out and says."""
    from copgen.pairs import read_plan

    if settings.pairs is None:
        asked = f"{settings.updates:,} updates" if settings.updates else f"{settings.epochs:g} epochs"
        return f"{asked}, batches of {settings.batch:,} images of {settings.dataset}"
    number = settings.online_n if settings.online else read_plan(settings.pairs).pairs
    samples = settings.updates_over(number) * settings.batch
    folder = f"{settings.pairs}" + ("" if settings.online else "/")
    return f"{length(samples, settings.batch)}, {samples / number:.3g} epochs over {number:,} pairs of {folder}"
