"""`copgen eval linear`: probes on frozen features."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import accuracies, labels_of, weakest


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
    evaluate(EvalLinearSettings, "linear", flags, run, rows)


def rows(results: dict[str, Any]) -> list[Row]:
    """Top-1 of each probe, in percent, and how the linear one was trained."""
    linear = results["linear"]
    found = [
        ("linear probe", f"{accuracies(linear['top1'], results['top5'])} on {linear['tested_on']:,} test images"),
        ("trained", how_trained(results)),
    ]
    if "nearest_neighbour" in results:
        found.append(("nearest neighbour", f"{100 * results['nearest_neighbour']['top1']:5.1f} %"))
    for labels, few in results.get("few_labels", {}).items():
        spread = f"{100 * few['top1_mean']:5.1f} % +- {100 * few['top1_std']:.1f} over {len(few['draws'])} draws"
        found.append((labels_of(labels), spread))
    return [*found, weakest(results["per_class"])]


def how_trained(results: dict[str, Any]) -> str:
    """The probe in words: optimizer, what was selected, and on what."""
    linear = results["linear"]
    if results["probe"] == "lbfgs":
        return f"lbfgs to convergence, C = {linear['C']:g} selected on validation"
    features = "standardised features" if linear["standardised"] else "raw features"
    where = "the test images, as the authors do" if results["selected_on"] == "test" else "validation"
    return (
        f"sgd, {linear['epochs']} epochs, augmentation {linear['augmentation']}, {features}; "
        f"lr {linear['lr']:g} x batch/256 and epoch {linear['epoch']} selected on {where}"
    )
