"""`copgen generator fit`: fit a generator to a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import UsageError
from copgen.runtime.settings import Settings, resolve
from copgen.runtime.settings_files import read_recipe, read_toml
from copgen.stages.generator.fit_settings import FitFlowSettings
from copgen.stages.generator.gan.settings import STAGE as GAN_STAGE
from copgen.stages.generator.gan.settings import FitGanSettings
from copgen.stages.generator.residual_flow.settings import STAGE as FLOW_STAGE
from copgen.stages.generator.residual_flow.settings import FitResidualFlowSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.generator import made_by_rows
from copgen_cli.running import length, train
from copgen_cli.story import Story

DIGITS, GAN, FLOW = "digits", "gan", "residual-flow"  # recipes; that of `digits` is for this dataset alone
STAGES = {"generator fit": DIGITS, GAN_STAGE: GAN, FLOW_STAGE: FLOW}
ARTEFACT = "generator.safetensors"
Name = Annotated[
    str, typer.Argument(metavar="DATASET", help="digits, another dataset (copgen data list), or a folder of images.")
]
Out = Annotated[Path | None, o.out("FOLDER", "Run folder (runs/generator-DATASET).")]


@command(
    "copgen generator fit digits --updates 20k",
    "copgen generator fit digits --dry-run",
    "copgen generator fit mnist --recipe gan",
    "copgen generator fit mnist --recipe residual-flow",
    "copgen generator fit cifar10 --recipe gan-cifar10",
    "copgen generator fit photos/ --recipe gan --image-size 64",
    settings=(FitFlowSettings, FitGanSettings, FitResidualFlowSettings),
)
def fit(flags: dict[str, Any], name: Name, run: o.FolderRun, out: Out = None) -> None:
    """Fit a generator to a dataset: a Residual Flow or a small GAN.

    Without a recipe, digits get the Residual Flow that comes with copgen, and
    other datasets a GAN. Run the same command to resume.
    """
    story, given = run.story(), {"dataset": name, **flags}
    artefact = (out or Path(f"runs/generator-{Path(name).name}")) / ARTEFACT
    fits = {DIGITS: fit_digits, GAN: fit_gan, FLOW: fit_flow}
    fits[kind(name, run)](given, run, story, artefact=artefact)


def kind(name: str, run: o.FolderRun) -> str:
    """Which recipe's generator is fitted: as the recipe says, else the settings file, else the dataset."""
    if run.recipe is not None:
        tables = read_recipe(run.recipe)
        return next((kind for stage, kind in STAGES.items() if stage in tables), DIGITS)
    if run.config is not None:
        table = read_toml(run.config)
        for stage, kind in STAGES.items():
            if stage in table or table.get("stage") == stage:
                return kind
    return DIGITS if name == DIGITS else GAN


def fit_digits(given: dict[str, Any], run: o.FolderRun, story: Story, *, artefact: Path) -> None:
    """Fit the Residual Flow that comes with copgen; settings of other kinds are refused.

    Raises:
        UsageError: a flag that does not apply.
    """
    refuse_foreign(given, FitFlowSettings, what="a Residual Flow on digits")
    recipe = run.recipe or DIGITS
    settings = resolve(FitFlowSettings, "generator fit", recipe=recipe, config=run.config, flags=given, tell=story.warn)

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


def fit_flow(given: dict[str, Any], run: o.FolderRun, story: Story, *, artefact: Path) -> None:
    """Fit a Residual Flow to any dataset; settings of other kinds are refused.

    Raises:
        UsageError: a flag that does not apply.
    """
    refuse_foreign(given, FitResidualFlowSettings, what="a Residual Flow")
    settings = resolve(
        FitResidualFlowSettings,
        FLOW_STAGE,
        recipe=run.recipe or FLOW,
        config=run.config,
        flags=given,
        tell=story.warn,
    )

    from copgen.stages.generator.residual_flow import stage

    train(
        stage.fit_residual_flow,
        settings,
        run,
        story,
        artefact=artefact,
        kind="weights",
        about=f"{length(settings.samples, settings.batch)}, Residual Flow on {settings.dataset}",
        estimate=lambda: stage.estimate(settings),
        rows=made_by_rows,
        then=["copgen", "navigate", "--generator", str(artefact)],
    )


def fit_gan(given: dict[str, Any], run: o.FolderRun, story: Story, *, artefact: Path) -> None:
    """Fit a small GAN; settings of other kinds are refused.

    Raises:
        UsageError: a flag that does not apply.
    """
    refuse_foreign(given, FitGanSettings, what="a GAN")
    recipe = run.recipe or GAN
    settings = resolve(FitGanSettings, GAN_STAGE, recipe=recipe, config=run.config, flags=given, tell=story.warn)

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
    """Refuse a flag that is a setting of another kind of generator alone."""
    if foreign := [name for name in given if name not in model.model_fields]:
        flag = f"--{foreign[0].replace('_', '-')}"
        raise UsageError(f"{flag} cannot be used with {what}.", fix=f"Remove {flag}.")
