"""`copgen generator fit`: fit a generator to its dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from copgen.runtime.settings import resolve
from copgen.stages.generator.fit_settings import FitFlowSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.generator import made_by_rows
from copgen_cli.generator_weights import Name
from copgen_cli.resolving import recipe_of
from copgen_cli.running import length, train

Out = Annotated[Path | None, o.out("FOLDER", "Run folder (runs/generator-NAME).")]


@command(
    "copgen generator fit digits --updates 20k", "copgen generator fit digits --dry-run", settings=(FitFlowSettings,)
)
def fit(flags: dict[str, Any], name: Name, run: o.FolderRun, out: Out = None) -> None:
    """Fit a generator to its dataset.

    The default settings reproduce the weights that come with copgen.
    Run the same command to resume.
    """
    recipe, story = run.recipe or recipe_of(name), run.story()
    given = {"dataset": name, **flags}
    settings = resolve(FitFlowSettings, "generator fit", recipe=recipe, config=run.config, flags=given, tell=story.warn)

    from copgen.stages.generator import fit as stage

    artefact = (out or Path(f"runs/generator-{name}")) / stage.ARTEFACT
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
        then=["copgen", "navigate", "--generator", name, "--weights", str(artefact)],
    )
