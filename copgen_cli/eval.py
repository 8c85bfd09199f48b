"""`copgen eval`: evaluate an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError
from copgen.runtime.settings import resolve
from copgen.stages.eval.settings import EvalLinearSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.dry_run import show_plan
from copgen_cli.story import Story


@command(
    "copgen eval linear --ckpt runs/pretrain",
    "copgen eval linear --ckpt runs/real --json | jq .top1",
    settings=(EvalLinearSettings,),
)
def linear(flags: dict[str, Any], run: o.Run) -> None:
    """Probe frozen features with real labels.

    A linear layer, the nearest neighbour, and probes on a few labels per class; Top-1 on the test images.
    """
    story = Story(quiet=run.quiet, verbose=run.verbose)
    settings = resolve(EvalLinearSettings, "eval linear", config=run.config, flags=flags, tell=story.warn)

    from copgen.encoders.encoder import encoder_file
    from copgen.stages.eval import linear as stage

    file = encoder_file(settings.ckpt)
    if not file.exists():
        raise DataError(f"There is no encoder {file}.", fix="Train one with copgen pretrain, or name it with --ckpt.")
    with story:
        story.say(f"Probing {file} on {settings.dataset}.")
        story.explain(settings.to_toml())
        if run.dry_run:
            show_plan(settings, {}, as_json=run.as_json)
            return
        results = stage.eval_linear(settings, events=story)
        written = stage.results_file(settings)
        answer({**results, "results": str(written)}, rows(results, written), as_json=run.as_json)
        if results["encoder"]["made_by"].get("settings", {}).get("dataset"):
            story.next("copgen", "navigate")
        else:
            story.next("copgen", "pretrain", "--dataset", settings.dataset, "--out", "runs/real")


def rows(results: dict[str, Any], written: Path) -> list[Row]:
    """Top-1 of each probe, in percent."""
    linear, neighbour = results["linear"], results["nearest_neighbour"]
    found = [
        ("linear probe", f"{100 * linear['top1']:5.1f} % Top-1 on {linear['tested_on']:,} test images"),
        ("nearest neighbour", f"{100 * neighbour['top1']:5.1f} %"),
    ]
    for labels, few in results["few_labels"].items():
        name = f"{labels} {'label' if labels == '1' else 'labels'} per class"
        spread = f"{100 * few['top1_mean']:5.1f} % +- {100 * few['top1_std']:.1f} over {len(few['draws'])} draws"
        found.append((name, spread))
    return [*found, ("results", str(written))]
