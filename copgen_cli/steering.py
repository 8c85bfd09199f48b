"""`copgen navigate --objective steering`: its settings from the flags of navigate, its run, and its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import UsageError
from copgen_cli.console import Row, answer
from copgen_cli.dry_run import show_plan
from copgen_cli.resolving import length
from copgen_cli.story import Story

DEFAULT_OUT = Path("runs/steering")
# What the flags of navigate mean for steering.
NAMES = {"lr_navigator": "lr"}
KEPT = (
    "generator",
    "weights",
    "instances",
    "truncation_scale",
    "inverse",
    "precision",
    "conditions",
    "condition_list",
    "samples",
    "batch",
    "seed",
    "device",
)


def steer(
    flags: dict[str, Any],
    *,
    updates: int | None,
    recipe: str | None,
    config: Path | None,
    out: Path | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    story: Story,
) -> None:
    """Train a walk.

    Args:
        flags: settings of navigate by name; None where a flag was not given.
        updates: length in updates, instead of `samples`.
        recipe, config: where the other settings come from: the table `steering`.
        out, overwrite, dry_run, as_json, story: as for every command.

    Raises:
        UsageError: a flag that has no meaning for steering.
    """
    from copgen.latents.walks import FILE_NAME
    from copgen.runtime.settings import resolve
    from copgen.stages.navigate import steering as stage
    from copgen.stages.navigate.steering_settings import SteeringSettings

    given: dict[str, Any] = {}
    for name, value in flags.items():
        if name in KEPT or name in NAMES:
            given[NAMES.get(name, name)] = value
        elif value is not None and name != "objective":
            raise UsageError(
                f"--{name.replace('_', '-')} has no meaning for --objective steering, which has no adversary.",
                fix="Leave it out.",
            )
    settings = resolve(SteeringSettings, "steering", recipe=recipe, config=config, flags=given)
    if updates is not None:
        given["samples"] = updates * settings.batch
        settings = resolve(SteeringSettings, "steering", recipe=recipe, config=config, flags=given)
    place = out or DEFAULT_OUT
    with story:
        story.say(f"{length(settings.samples, settings.batch)}, generator {settings.generator}, into {place}.")
        story.explain(settings.to_toml())
        if dry_run:
            show_plan(settings, stage.estimate(settings), as_json=as_json)
            return
        artefact = place / FILE_NAME
        already = artefact.exists() and not overwrite
        summary = stage.navigate_steering(settings, out=place, overwrite=overwrite, events=story)
        if already:
            story.say(f"{place} is already finished; --overwrite starts anew.")
        answer(
            {"walk": str(artefact), "already_finished": already, **summary}, rows(artefact, summary), as_json=as_json
        )
        elsewhere = ["--walk", str(place)] if place != DEFAULT_OUT else []
        story.next("copgen", "sample", "--out", "pairs/", "--n", "10k", "--tz", "steering", *elsewhere)


def rows(artefact: Path, summary: dict[str, Any]) -> list[Row]:
    """What to know of a walk."""
    lengths = ", ".join(f"{name} {value:.3f}" for name, value in summary["rms"].items())
    return [
        ("walk", str(artefact)),
        ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates"),
        ("loss", f"{summary['loss_first']:.4f} at first, {summary['loss_last']:.4f} in the last 20 updates"),
        ("d at slider 1", lengths),
        ("preview", str(artefact.parent / "previews" / "final.png")),
    ]
