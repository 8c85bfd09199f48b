"""`copgen sweep`: runs over a grid of settings and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from copgen.distributed.slices import parse_slice
from copgen.runtime.errors import UsageError
from copgen.runtime.panels import INPUT, SETTINGS, WORKERS
from copgen.runtime.settings_files import recipe_text
from copgen.stages.sweep.grid import MODELS, planned
from copgen.stages.sweep.settings import SweepSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.sweeping import Seeds, run_sweep
from copgen_cli.value_lists import values_of

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="Built-in recipe of all runs (copgen recipes list).")]
Values = Annotated[
    list[str] | None,
    o.option(
        "--set",
        help="Values of a setting: a run for each. One value is for all runs. May be repeated.",
        value="NAME=A,B",
        panel=SETTINGS,
    ),
]
Stage = Annotated[
    str, o.option(help="navigate or pretrain.", value="NAME", panel=INPUT, parser=o.one_of("stage", *MODELS))
]
Slice = Annotated[
    str | None, o.option("--slice", help="Part I of N, from 0 (from the job scheduler).", value="I/N", panel=WORKERS)
]
Out = Annotated[Path, o.out("FOLDER", "Folder of the runs.")]


@command(
    "copgen sweep digits --set delta=0.03,0.05,0.1 --seeds 3",
    "copgen sweep bigbigan --set lr_navigator=1e-6,1e-5,1e-4 --slice 0/3",
    "copgen sweep digits --set 'stop=delta,\"delta,loss-turn\"' --dry-run",
    "copgen sweep digits --stage pretrain --set lr=1e-3,3e-3 --set epochs=5",
)
def sweep(
    recipe: Recipe,
    run: o.Run,
    set: Values = None,
    seeds: Seeds = None,
    stage: Stage = "navigate",
    slice: Slice = None,
    overwrite: o.Overwrite = False,
    out: Out = Path("runs/sweep"),
) -> None:
    """Run a grid of settings and seeds, and compare the runs.

    Each run has a folder of its own. The slice of a job is read from SLURM or
    SkyPilot. Run the same command to resume, and to print the table again.
    """
    recipe_text(recipe)  # an unknown name is reported before its consequences
    given = values_of(set or (), MODELS[stage])
    settings = SweepSettings(
        stage=stage,
        recipe=recipe,
        config=run.config,
        settings={name: values[0] for name, values in given.items() if len(values) == 1},
        values={name: values for name, values in given.items() if len(values) > 1},
        seeds=seeds or 1,
    )
    if seeds is None and not settings.values:
        planned(settings)  # an error in the file is reported first
        raise UsageError("There is nothing to sweep.", fix="Pass --set NAME=A,B, or --seeds N.")
    part = parse_slice(slice) if slice is not None else None
    run_sweep(settings, run, run.story(), out=out, overwrite=overwrite, part=part)
