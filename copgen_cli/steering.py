"""`copgen navigate --objective steering`: a walk, from those flags of navigate that mean something for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.declaration import declaration
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.stages.navigate.steering_settings import SteeringSettings
from copgen_cli.console import Row
from copgen_cli.options import FolderRun
from copgen_cli.running import length, train
from copgen_cli.story import Story

DEFAULT_OUT = Path("runs/steering")


def steer(flags: dict[str, Any], run: FolderRun, story: Story, *, recipe: str, out: Path | None) -> None:
    """Train a walk.

    Args:
        flags: settings by name, those that were given.
        run, story: as for every command.
        recipe: where the other settings come from: its table `steering`.
        out: the run folder, if not the usual one.

    Raises:
        UsageError: a flag that has no meaning for steering.
    """
    given = {name: value for name, value in flags.items() if name != "objective"}
    known = set(SteeringSettings.model_fields)
    for field in SteeringSettings.model_fields.values():
        known |= {*declared.former} if (declared := declaration(field)) else set()
    if foreign := [name for name in given if name not in known]:
        raise UsageError(
            f"--{foreign[0].replace('_', '-')} has no meaning for --objective steering, which has no adversary.",
            fix="Leave it out.",
        )
    settings = resolve(SteeringSettings, "steering", recipe=recipe, config=run.config, flags=given, tell=story.warn)

    from copgen.latents.walks import FILE_NAME
    from copgen.stages.navigate import steering as stage

    artefact = (out or DEFAULT_OUT) / FILE_NAME
    elsewhere = ["--walk", str(out)] if artefact.parent != DEFAULT_OUT else []
    train(
        stage.navigate_steering,
        settings,
        run,
        story,
        artefact=artefact,
        kind="walk",
        about=f"{length(settings.samples, settings.batch)}, generator {settings.generator}",
        estimate=lambda: stage.estimate(settings),
        rows=lambda summary: rows(artefact, summary),
        then=["copgen", "sample", "--out", "pairs/", "--n", "10k", "--transform", "steering", *elsewhere],
    )


def rows(artefact: Path, summary: dict[str, Any]) -> list[Row]:
    """What to know of a walk."""
    lengths = ", ".join(f"{name} {value:.3f}" for name, value in summary["rms"].items())
    return [
        ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates"),
        ("loss", f"{summary['loss_first']:.4f} at first, {summary['loss_last']:.4f} in the last 20 updates"),
        ("d at slider 1", lengths),
        ("preview", str(artefact.parent / "previews" / "final.png")),
    ]
