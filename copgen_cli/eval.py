"""`copgen eval`: evaluate an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError
from copgen.runtime.settings import resolve
from copgen.stages.eval.settings import EvalLinearSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.dry_run import show_plan

WEAKEST = 3


@command(
    "copgen eval linear --ckpt runs/pretrain",
    "copgen eval linear --dataset photos/ --json | jq .top1",
    "copgen eval linear --ckpt moco.pth.tar --arch resnet50",
    settings=(EvalLinearSettings,),
)
def linear(flags: dict[str, Any], run: o.Run) -> None:
    """Train linear and few-label probes on frozen features.

    Reports Top-1 and Top-5 on the test images of a linear classifier; for small
    data also of the nearest neighbour, and of classifiers trained on a few
    labels per class. results.json has each class and the confusion matrix too.
    """
    story = run.story()
    settings = resolve(EvalLinearSettings, "eval linear", config=run.config, flags=flags, tell=story.warn)

    from copgen.encoders.encoder import encoder_file
    from copgen.stages.eval import linear as stage

    file = encoder_file(settings.ckpt)
    if not file.exists():
        raise DataError(f"There is no encoder {file}.", fix="Train one with copgen pretrain, or pass --ckpt.")
    with story:
        story.say(f"Evaluating {file} on {settings.dataset}.")
        story.explain(settings.to_toml())
        if run.dry_run:
            show_plan(settings, {}, as_json=run.as_json)
            return
        results = stage.eval_linear(settings, events=story)
    written = stage.results_file(settings, stage.KIND)
    real = results["encoder"]["made_by"].get("settings", {}).get("dataset")
    then = ["navigate"] if real else ["pretrain", "--dataset", settings.dataset, "--out", "runs/real"]
    run.answer({**results, "results": str(written)}, rows(results, written), "copgen", *then)


def rows(results: dict[str, Any], written: Path) -> list[Row]:
    """Top-1 of each probe, in percent, and how the linear one was trained."""
    linear = results["linear"]
    top5 = "" if results["top5"] is None else f", {100 * results['top5']:.1f} % Top-5"
    found = [
        ("linear probe", f"{100 * linear['top1']:5.1f} % Top-1{top5} on {linear['tested_on']:,} test images"),
        ("trained", how_trained(results)),
    ]
    if "nearest_neighbour" in results:
        found.append(("nearest neighbour", f"{100 * results['nearest_neighbour']['top1']:5.1f} %"))
    for labels, few in results.get("few_labels", {}).items():
        name = f"{labels} {'label' if labels == '1' else 'labels'} per class"
        spread = f"{100 * few['top1_mean']:5.1f} % +- {100 * few['top1_std']:.1f} over {len(few['draws'])} draws"
        found.append((name, spread))
    return [*found, *weakest(results["per_class"]), ("results", str(written))]


def how_trained(results: dict[str, Any]) -> str:
    """The probe in words: optimizer, what was selected, and on what."""
    linear = results["linear"]
    if results["probe"] == "lbfgs":
        return f"lbfgs to convergence, C = {linear['C']:g} selected on validation"
    where = "the test images, as the authors do" if results["selected_on"] == "test" else "validation"
    return (
        f"sgd, {linear['epochs']} epochs, augmentation {linear['augmentation']}; "
        f"lr {linear['lr']:g} x batch/256 and epoch {linear['epoch']} selected on {where}"
    )


def weakest(per_class: dict[str, float | None]) -> list[Row]:
    """The classes with the lowest accuracy."""
    known = sorted((value, name) for name, value in per_class.items() if value is not None)
    listed = ", ".join(f"{name} {100 * value:.1f} %" for value, name in known[:WEAKEST])
    return [("weakest classes", listed)]
