"""`copgen navigate`: learn T_z in a generator's latent space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.distributed.launch import launch
from copgen.runtime.environment import placement
from copgen.runtime.errors import UsageError
from copgen.runtime.row_numbers import parse_rows
from copgen_cli import options as o
from copgen_cli.console import Row, answer
from copgen_cli.dry_run import show_plan
from copgen_cli.resolving import config_table, length, recipe_of, refuse_both, said
from copgen_cli.steering import steer
from copgen_cli.story import Story

DEFAULT_OUT = Path("runs/navigate")
EPILOG = o.examples(
    "copgen navigate --generator digits --steps 20k",
    "copgen navigate --generator bigbigan --steps 200k",
    "copgen navigate --generator bigbigan --objective steering",
    "copgen navigate --stop delta --delta 0.2 --out runs/within-delta",
    "copgen navigate -g biggan-deep-128 --objective sup_con --nproc 4",
    "copgen navigate --dry-run > mine.toml; copgen navigate --config mine.toml",
)
RateT = Annotated[
    float | None, typer.Option(parser=o.number, metavar="RATE", help="Adam's rate for T_z.", rich_help_panel=o.TRAINING)
]
RateF = Annotated[
    float | None, typer.Option(parser=o.number, metavar="RATE", help="Adam's rate for f.", rich_help_panel=o.TRAINING)
]
Objective = Annotated[
    str | None,
    typer.Option(
        parser=o.one_of("objective", "info_nce", "sup_con", "steering"),
        metavar="NAME",
        help="info_nce, sup_con, or steering (imitate edits).",
        rich_help_panel=o.TRAINING,
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="COUNT", help="Classes in a batch, of sup_con (half).", rich_help_panel=o.TRAINING
    ),
]
StepPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        parser=o.precision,
        metavar="NAME",
        help="float32, bf16 or float64, of the whole step.",
        rich_help_panel=o.SPEED,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        parser=o.one_of("use of memory", "keep", "save"),
        metavar="keep|save",
        help="save makes G's activations twice.",
        rich_help_panel=o.SPEED,
    ),
]
Compile = Annotated[
    str | None,
    o.compilation("torch.compile: off, default, reduce-overhead.", "default", "reduce-overhead", "max-autotune"),
]
Nproc = Annotated[
    int | None,
    typer.Option("--nproc", parser=o.count, metavar="N", help="Processes that share a batch.", rich_help_panel=o.SPEED),
]
Anchors = Annotated[
    str | None,
    typer.Option(
        parser=o.one_of("form of the loss", "first", "both"),
        metavar="first|both",
        help="InfoNCE as in Algorithm 1, or symmetric.",
        rich_help_panel=o.TRAINING,
    ),
]
Update = Annotated[
    str | None,
    typer.Option(
        "--update",
        parser=o.one_of("update rule", "simultaneous", "alternating"),
        metavar="RULE",
        help="simultaneous (Algorithm 1) or alternating.",
        rich_help_panel=o.TRAINING,
    ),
]
Stop = Annotated[
    str | None,
    typer.Option(
        parser=o.one_of("stop rule", "samples", "delta", "turn"),
        metavar="RULE",
        help="What ends it: samples, delta, turn of f's loss.",
        rich_help_panel=o.TRAINING,
    ),
]
Delta = Annotated[
    float | None,
    typer.Option(
        parser=o.number, metavar="D", help="Bound on d(z, z'), RMS per coordinate.", rich_help_panel=o.TRAINING
    ),
]
Form = Annotated[
    str | None,
    typer.Option(
        parser=o.one_of("form", "nonlinear", "linear"),
        metavar="FORM",
        help="Of T_z: nonlinear, or linear (z + W2 W1 z).",
        rich_help_panel=o.TRAINING,
    ),
]
Ratio = Annotated[
    float | None,
    typer.Option(parser=o.number, metavar="R", help="Coordinates per hidden unit of T_z.", rich_help_panel=o.TRAINING),
]
Blocks = Annotated[
    str | None,
    typer.Option(metavar="ROWS", help="Latent blocks that T_z moves, such as 1-5.", rich_help_panel=o.TRAINING),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="The run folder (runs/navigate).", rich_help_panel=o.OUTPUT),
]


def navigate(
    context: typer.Context,
    generator: o.Generator = None,
    weights: o.Weights = None,
    instances: o.Instances = None,
    truncation: o.Truncation = None,
    inverse: o.Inverse = None,
    conditions: o.Conditions = None,
    condition_list: o.ConditionList = None,
    steps: o.Steps = None,
    updates: o.Updates = None,
    batch: o.Batch = None,
    temperature: o.Temperature = None,
    objective: Objective = None,
    classes: Classes = None,
    form: Form = None,
    hidden_ratio: Ratio = None,
    blocks: Blocks = None,
    anchors: Anchors = None,
    update: Update = None,
    lr_navigator: RateT = None,
    lr_encoder: RateF = None,
    views: o.Views = None,
    encoder: o.Encoder = None,
    stop: Stop = None,
    delta: Delta = None,
    precision: StepPrecision = None,
    memory: Memory = None,
    compile: Compile = None,
    nproc: Nproc = None,
    recipe: o.Recipe = None,
    config: o.Config = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Out = None,
    overwrite: o.Overwrite = False,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """Learn the navigator T_z in a generator's latent space.

    Algorithm 1. The same command again goes on where it was stopped.
    """
    from copgen.latents.navigator import FILE_NAME
    from copgen.runtime.settings import resolve
    from copgen.stages.navigate import stage
    from copgen.stages.navigate.settings import NavigateSettings

    refuse_both(steps=steps, updates=updates)
    table = "steering" if objective == "steering" else "navigate"
    if recipe is None:
        recipe = recipe_of(generator or said(config_table(config, table), "generator") or "digits")
    flags: dict[str, Any] = {
        "generator": generator,
        "weights": weights,
        "instances": instances,
        "truncation_scale": truncation,
        "inverse": inverse,
        "precision": precision,
        "conditions": conditions,
        "condition_list": parse_rows(condition_list) if condition_list is not None else None,
        "form": form,
        "hidden_ratio": hidden_ratio,
        "blocks": parse_rows(blocks) if blocks is not None else None,
        "samples": steps,
        "batch": batch,
        "temperature": temperature,
        "objective": objective,
        "classes": classes,
        "memory": memory,
        "compile": compile,
        "anchors": anchors,
        "update": update,
        "lr_navigator": lr_navigator,
        "lr_encoder": lr_encoder,
        "views": views,
        "encoder": encoder,
        "stop": stop,
        "delta": delta,
        "seed": seed,
        "device": device,
    }
    if objective == "steering":
        if nproc is not None:
            raise UsageError("--nproc has no meaning for --objective steering.", fix="Leave it out.")
        story = Story(quiet=quiet, verbose=verbose)
        steer(
            flags,
            updates=updates,
            recipe=recipe,
            config=config,
            out=out,
            overwrite=overwrite,
            dry_run=dry_run,
            as_json=as_json,
            story=story,
        )
        return
    out = out or DEFAULT_OUT
    settings = resolve(NavigateSettings, "navigate", recipe=recipe, config=config, flags=flags)
    if updates is not None:
        flags["samples"] = updates * settings.batch
        settings = resolve(NavigateSettings, "navigate", recipe=recipe, config=config, flags=flags)

    world = placement().world
    if nproc is not None:
        if world > 1:
            raise UsageError(f"--nproc starts processes, and torchrun has started {world}.", fix="Leave out --nproc.")
        stage.check_batch(settings, world=nproc)
        if nproc > 1 and not dry_run:
            raise SystemExit(launch("copgen_cli.main", without_nproc(context.find_root().obj), nproc))
    follows = placement().rank > 0
    with Story(quiet=quiet or follows, verbose=verbose, delta=settings.delta) as story:
        story.say(f"{length(settings.samples, settings.batch)}, generator {settings.generator}, into {out}.")
        story.explain(settings.to_toml())
        if dry_run:
            if not follows:
                show_plan(settings, stage.estimate(settings, world=nproc or world), as_json=as_json)
            return
        artefact = out / FILE_NAME
        already = artefact.exists() and not overwrite
        summary = stage.navigate(settings, out=out, overwrite=overwrite, events=story)
        if follows:  # the first of the ranks tells it all
            return
        if already:
            story.say(f"{out} is already finished; --overwrite starts anew.")
        document = {"navigator": str(artefact), "already_finished": already, **summary}
        answer(document, figures(artefact, summary), as_json=as_json)
        elsewhere = ["--navigator", str(out)] if out != DEFAULT_OUT else []
        story.next("copgen", "sample", "--out", "pairs/", "--n", "10k", *elsewhere)


def without_nproc(arguments: Sequence[str]) -> list[str]:
    """The arguments of a rank: those of the command without --nproc."""
    pairs = zip(("", *arguments), arguments, strict=False)
    return [word for before, word in pairs if "--nproc" not in (before, word) and not word.startswith("--nproc=")]


def figures(artefact: Path, summary: dict[str, Any]) -> list[Row]:
    """What to know of a navigator."""
    shift = summary["shift"]
    rows = [
        ("navigator", str(artefact)),
        ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates, ended by {summary['ended_by']}"),
        ("d(z, z')", f"{shift['d_mean']:.4f} mean, {shift['d_p95']:.4f} 95th percentile, per latent coordinate"),
        ("preview", str(artefact.parent / "previews" / "final.png")),
    ]
    if summary["loss_smoothed"] is not None:
        loss = f"{summary['loss_smoothed']:.3f} nats smoothed, chance {summary['chance']:.3f}"
        rows.insert(2, ("loss of f", loss))
    return rows
