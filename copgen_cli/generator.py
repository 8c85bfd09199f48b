"""`copgen generator`: list, import, fetch, inspect and fit generators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen_cli import generator_weights as weights_commands
from copgen_cli import options as o
from copgen_cli.console import Row, answer
from copgen_cli.dry_run import show_plan
from copgen_cli.resolving import length, recipe_of, refuse_both, whole_updates
from copgen_cli.story import Story

FIT_EPILOG = o.examples(
    "copgen generator fit digits --updates 20k",
    "copgen generator fit digits --dry-run",
)
INSPECT_EPILOG = o.examples(
    "copgen generator inspect digits",
    "copgen generator inspect digits --out samples.png",
)
LIST_EPILOG = o.examples("copgen generator list", "copgen generator list --json")
EPILOG = o.examples(
    "copgen generator list",
    "copgen generator import bigbigan BigBiGAN_x1.pth",
    "copgen generator inspect bigbigan --out samples.png",
)
app = typer.Typer(no_args_is_help=True, add_help_option=False, epilog=EPILOG)

Name = weights_commands.Name
Rate = Annotated[
    float | None,
    typer.Option(parser=o.number, metavar="RATE", help="Peak learning rate of Adam.", rich_help_panel=o.TRAINING),
]
FitOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="The run folder (runs/generator-NAME).",
        rich_help_panel=o.OUTPUT,
    ),
]
Truncation = Annotated[
    float | None,
    typer.Option(parser=o.number, metavar="T", help="z = T * normal within +-2 (GANs).", rich_help_panel=o.WHAT),
]
Picture = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="A picture of samples, PNG.", rich_help_panel=o.OUTPUT),
]


@app.callback()
def about(help: o.PlainHelp = False) -> None:
    """List, import, fetch, inspect and fit generators."""


@app.command("list", epilog=LIST_EPILOG, add_help_option=False)
def list_generators(
    weights_dir: weights_commands.WeightsDir = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """List the generators that copgen knows, and whose weights are here."""
    from copgen.stages.generator.list import list_generators as stage

    found = stage(directory=weights_dir)
    rows = [(one["name"], f"{one['about']}{presence(one)}") for one in found["generators"]]
    answer(found, [*rows, ("weights in", found["weights_directory"])], as_json=as_json)
    here = next(one["name"] for one in found["generators"] if one["weights"])
    Story(quiet=quiet).next("copgen", "generator", "inspect", here)


def presence(one: dict[str, Any]) -> str:
    """Whether the weights of a generator are here, in a few words."""
    if one["embedded"] or one["plugin"]:
        return ""  # its description says so
    return f"; here: {Path(one['weights']).name}" if one["weights"] else "; not here"


app.command("import", epilog=weights_commands.IMPORT_EPILOG, add_help_option=False)(weights_commands.import_weights)
app.command(epilog=weights_commands.FETCH_EPILOG, add_help_option=False)(weights_commands.fetch)


@app.command(epilog=INSPECT_EPILOG, add_help_option=False)
def inspect(
    name: Name,
    weights: o.Weights = None,
    instances: weights_commands.Instances = None,
    truncation: Truncation = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Picture = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """Say what a generator is, how good, and how fast on this machine."""
    from copgen.stages.generator.inspect import inspect as stage

    found = stage(
        name,
        weights=weights,
        instances=instances,
        truncation=truncation,
        out=out,
        device=device or "auto",
        seed=seed or 0,
    )
    answer(found, inspection(found), as_json=as_json)
    Story(quiet=quiet).next(
        "copgen", "navigate", "--generator", name, *(["--weights", str(weights)] if weights is not None else [])
    )


@app.command(epilog=FIT_EPILOG, add_help_option=False)
def fit(
    name: Name,
    steps: o.Steps = None,
    updates: o.Updates = None,
    batch: o.Batch = None,
    lr: Rate = None,
    recipe: o.Recipe = None,
    config: o.Config = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: FitOut = None,
    overwrite: o.Overwrite = False,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """Fit a generator to its data.

    With the recipe's settings this makes the weights that come with copgen.
    The same command again goes on where it was stopped.
    """
    from copgen.runtime.settings import resolve
    from copgen.stages.generator import fit as stage
    from copgen.stages.generator.fit_settings import FitFlowSettings

    refuse_both(steps=steps, updates=updates)
    recipe = recipe or recipe_of(name)
    out = out or Path(f"runs/generator-{name}")
    flags: dict[str, Any] = {
        "dataset": name,
        "updates": updates,
        "batch": batch,
        "lr": lr,
        "seed": seed,
        "device": device,
    }
    settings = resolve(FitFlowSettings, "generator fit", recipe=recipe, config=config, flags=flags)
    if steps is not None:
        settings = settings.model_copy(update={"updates": whole_updates(steps, settings.batch)})

    with Story(quiet=quiet, verbose=verbose) as story:
        story.say(f"{length(settings.updates * settings.batch, settings.batch)}, into {out}.")
        story.explain(settings.to_toml())
        if dry_run:
            show_plan(settings, stage.estimate(settings), as_json=as_json)
            return
        artefact = out / stage.ARTEFACT
        already = artefact.exists() and not overwrite
        summary = stage.fit_flow(settings, out=out, overwrite=overwrite, events=story)
        if already:
            story.say(f"{out} is already finished; --overwrite starts anew.")
        document = {"weights": str(artefact), "already_finished": already, **summary}
        answer(document, [("weights", str(artefact)), *made_by_rows(summary)], as_json=as_json)
        story.next("copgen", "navigate", "--generator", name, "--weights", str(artefact))


def inspection(found: dict[str, Any]) -> list[Row]:
    """The figures of a generator, one a line."""
    channels, height, width = found["image_shape"]
    prior = found["prior"]
    bound = f", truncated at {prior['threshold']:g}" if prior["kind"] == "truncated_normal" else ""
    rows = [
        ("generator", found["name"]),
        ("parameters", f"{found['parameters']:,}"),
        ("latent", f"{found['latent_dim']:,} coordinates, normal times {prior['scale']:g}{bound}"),
        ("condition", found["condition"] or "none"),
        ("images", f"{height}x{width}, {channels} {'channel' if channels == 1 else 'channels'}"),
        ("speed", f"{1000 * found['seconds_per_image']:.3g} ms per image, batch {found['batch']}, {found['device']}"),
        ("weights", f"sha256 {found['weights_sha256'][:16]}"),
        *made_by_rows(found["made_by"]),
    ]
    return [*rows, ("picture", found["picture"])] if found["picture"] else rows


def made_by_rows(made_by: dict[str, Any]) -> list[Row]:
    """The quality figures that a fitted generator's file records, where it does."""
    rows = []
    if bits := made_by.get("bits_per_dim"):
        rows.append(("bits/dim", ", ".join(f"{value:.3f} {split}" for split, value in bits.items())))
    for name, value in made_by.get("quality", {}).items():
        rows.append((name.replace("_", " "), f"{value:.3g}"))
    return rows
