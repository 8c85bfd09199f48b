"""`copgen navigate --objective steering`: train a walk with the flags of navigate that apply to it."""

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


def steer(
    flags: dict[str, Any],
    run: FolderRun,
    story: Story,
    *,
    recipe: str,
    out: Path | None,
    port: int | None = None,
) -> None:
    """Train a walk.

    Args:
        flags: the settings that were given, by name.
        run, story: of the command.
        recipe: its table `steering` has the other settings.
        out: the run folder; None is the default one.
        port: as `train`.

    Raises:
        UsageError: a flag that does not apply to steering.
    """
    given = {name: value for name, value in flags.items() if name != "objective"}
    known = set(SteeringSettings.model_fields)
    for field in SteeringSettings.model_fields.values():
        known |= {*declared.former} if (declared := declaration(field)) else set()
    if foreign := [name for name in given if name not in known]:
        flag = f"--{foreign[0].replace('_', '-')}"
        raise UsageError(
            f"{flag} cannot be used with --objective steering, which has no encoder.", fix=f"Remove {flag}."
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
        port=port,
    )


def rows(artefact: Path, summary: dict[str, Any]) -> list[Row]:
    """The result in rows."""
    lengths = ", ".join(f"{name} {value:.3f}" for name, value in summary["rms"].items())
    return [
        ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates"),
        ("loss", f"{summary['loss_first']:.4f} at the start, {summary['loss_last']:.4f} in the last 20 updates"),
        ("d at slider 1", lengths),
        ("preview", str(artefact.parent / "previews" / "final.png")),
    ]
