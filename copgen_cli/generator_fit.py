"""`copgen generator fit`: fit a generator to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import UsageError
from copgen.runtime.settings import Settings, resolve
from copgen.runtime.settings_files import read_recipe, read_toml
from copgen.stages.generator.fit_settings import FitFlowSettings
from copgen.stages.generator.gan.settings import STAGE, FitGanSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.generator import made_by_rows
from copgen_cli.running import length, train
from copgen_cli.story import Story

FLOW, GAN = "digits", "gan"  # the recipes of a Residual Flow, which is of the dataset `digits`, and of a small GAN
FLOW_STAGE = "generator fit"
ARTEFACT = "generator.safetensors"
Name = Annotated[
    str, typer.Argument(metavar="DATASET", help="digits, another dataset (copgen data list), or a folder of images.")
]
Out = Annotated[Path | None, o.out("FOLDER", "Run folder (runs/generator-DATASET).")]


@command(
    "copgen generator fit digits --updates 20k",
    "copgen generator fit digits --dry-run",
    "copgen generator fit mnist --recipe gan",
    "copgen generator fit cifar10 --recipe gan-cifar10",
    "copgen generator fit photos/ --recipe gan --image-size 64",
    settings=(FitFlowSettings, FitGanSettings),
)
def fit(flags: dict[str, Any], name: Name, run: o.FolderRun, out: Out = None) -> None:
    """Fit a generator to a dataset: a Residual Flow or a small GAN.

    Without a recipe, digits get the Residual Flow that comes with copgen, and
    other datasets a GAN. Run the same command to resume.
    """
    story, given = run.story(), {"dataset": name, **flags}
    artefact = (out or Path(f"runs/generator-{Path(name).name}")) / ARTEFACT
    if is_gan(name, run):
        fit_gan(given, run, story, artefact=artefact)
    else:
        fit_flow(given, run, story, artefact=artefact)


def is_gan(name: str, run: o.FolderRun) -> bool:
    """Whether a GAN is fitted: as the recipe says, else the settings file, else if the dataset is not `digits`."""
    if run.recipe is not None:
        return STAGE in read_recipe(run.recipe)
    if run.config is not None:
        table = read_toml(run.config)
        if FLOW_STAGE in table or table.get("stage") == FLOW_STAGE:
            return False
        if STAGE in table or table.get("stage") == STAGE:
            return True
    return name != FLOW


def fit_flow(given: dict[str, Any], run: o.FolderRun, story: Story, *, artefact: Path) -> None:
    """Fit a Residual Flow; settings of a GAN are refused.

    Raises:
        UsageError: a flag that does not apply.
    """
    refuse_foreign(given, FitFlowSettings, what="a Residual Flow")
    recipe = run.recipe or FLOW
    settings = resolve(FitFlowSettings, FLOW_STAGE, recipe=recipe, config=run.config, flags=given, tell=story.warn)

    from copgen.stages.generator import fit as stage

    train(
        stage.fit_flow,
        settings,
        run,
        story,
        artefact=artefact,
        kind="weights",
        about=length(settings.samples, settings.batch),
        estimate=lambda: stage.estimate(settings),
        rows=made_by_rows,
        then=["copgen", "navigate", "--generator", settings.dataset, "--weights", str(artefact)],
    )


def fit_gan(given: dict[str, Any], run: o.FolderRun, story: Story, *, artefact: Path) -> None:
    """Fit a small GAN; settings of a flow are refused.

    Raises:
        UsageError: a flag that does not apply.
    """
    refuse_foreign(given, FitGanSettings, what="a GAN")
    recipe = run.recipe or GAN
    settings = resolve(FitGanSettings, STAGE, recipe=recipe, config=run.config, flags=given, tell=story.warn)

    from copgen.stages.generator.gan import stage

    train(
        stage.fit_gan,
        settings,
        run,
        story,
        artefact=artefact,
        kind="weights",
        about=f"{length(settings.samples, settings.batch)}, GAN on {settings.dataset}",
        estimate=lambda: stage.estimate(settings),
        rows=made_by_rows,
        then=["copgen", "navigate", "--generator", str(artefact)],
    )


def refuse_foreign(given: dict[str, Any], model: type[Settings], *, what: str) -> None:
    """Refuse a flag that is a setting of the other kind of generator alone."""
    if foreign := [name for name in given if name not in model.model_fields]:
        flag = f"--{foreign[0].replace('_', '-')}"
        raise UsageError(f"{flag} cannot be used with {what}.", fix=f"Remove {flag}.")
