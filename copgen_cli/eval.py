"""`copgen eval`: say how good an encoder is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import DataError
from copgen_cli import options as o
from copgen_cli.console import Row, answer
from copgen_cli.dry_run import show_plan
from copgen_cli.story import Story

EPILOG = o.examples(
    "copgen eval linear --ckpt runs/pretrain",
    "copgen eval linear --ckpt runs/real --json | jq .top1",
)
app = typer.Typer(no_args_is_help=True, add_help_option=False, epilog=EPILOG)

Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="A pretrain run, or its file (runs/pretrain).", rich_help_panel=o.WHAT),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="For results.json (eval/linear in the run).",
        rich_help_panel=o.OUTPUT,
    ),
]


@app.callback()
def about(help: o.PlainHelp = False) -> None:
    """Say how good an encoder is."""


@app.command(epilog=EPILOG, add_help_option=False)
def linear(
    ckpt: Checkpoint = None,
    dataset: o.Dataset = None,
    config: o.Config = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Out = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """Probe frozen features with real labels.

    A linear layer, the nearest neighbour, and probes on a few labels per class; Top-1 on the test images.
    """
    from copgen.encoders.encoder import encoder_file
    from copgen.runtime.settings import resolve
    from copgen.stages.eval import linear as stage

    flags = {"ckpt": ckpt, "dataset": dataset, "seed": seed, "device": device, "out": out}
    settings = resolve(stage.EvalLinearSettings, "eval linear", recipe=None, config=config, flags=flags)
    file = encoder_file(settings.ckpt)
    if not file.exists():
        raise DataError(f"There is no encoder {file}.", fix="Train one with copgen pretrain, or name it with --ckpt.")

    with Story(quiet=quiet, verbose=verbose) as story:
        story.say(f"Probing {file} on {settings.dataset}.")
        story.explain(settings.to_toml())
        if dry_run:
            show_plan(settings, {}, as_json=as_json)
            return
        results = stage.eval_linear(settings, events=story)
        written = stage.results_file(settings)
        answer({**results, "results": str(written)}, figures(results, written), as_json=as_json)
        if results["encoder"]["made_by"].get("settings", {}).get("dataset"):
            story.next("copgen", "navigate")
        else:
            story.next("copgen", "pretrain", "--dataset", settings.dataset, "--out", "runs/real")


def figures(results: dict[str, Any], written: Path) -> list[Row]:
    """Top-1 of each probe, in percent."""
    linear, neighbour = results["linear"], results["nearest_neighbour"]
    rows = [
        ("linear probe", f"{100 * linear['top1']:5.1f} % Top-1 on {linear['tested_on']:,} test images"),
        ("nearest neighbour", f"{100 * neighbour['top1']:5.1f} %"),
    ]
    for labels, few in results["few_labels"].items():
        name = f"{labels} {'label' if labels == '1' else 'labels'} per class"
        spread = f"{100 * few['top1_mean']:5.1f} % +- {100 * few['top1_std']:.1f} over {len(few['draws'])} draws"
        rows.append((name, spread))
    return [*rows, ("results", str(written))]
