"""`copgen eval linear`: probes on frozen features."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import TOP1, TOP5, by_number, labels_of, percent, tested_on, weakest
from copgen_cli.tables import Table


@command(
    "copgen eval linear --ckpt runs/pretrain",
    "copgen eval linear --dataset photos/ --json | jq .top1",
    "copgen eval linear --ckpt moco.pth.tar --arch resnet50",
    settings=(EvalLinearSettings,),
)
def linear(flags: dict[str, Any], run: o.Run, overwrite: o.Again = False) -> None:
    """Train linear and few-label probes on frozen features.

    Reports Top-1 and Top-5 on the test images of a linear classifier; for small
    data also of the nearest neighbour, and of classifiers trained on a few
    labels per class. results.json has each class and the confusion matrix too.
    """
    evaluate(EvalLinearSettings, "linear", flags, run, shown, overwrite=overwrite)


def shown(results: dict[str, Any]) -> list[Shown]:
    """Top-1 of each probe, in percent, and how the linear one was trained."""
    linear, few_labels = results["linear"], results.get("few_labels", {})
    rows = [("linear", percent(linear["top1"]), "", percent(results["top5"]), f"{linear['fitted_on']:,}", "")]
    if (nearest := results.get("nearest_neighbour")) is not None:
        rows.append(("nearest neighbour", percent(nearest["top1"]), "", "", f"{nearest['fitted_on']:,}", ""))
    for labels, few in by_number(few_labels):
        spread = f"+- {percent(few['top1_std'])}"
        numbers = percent(few["top1_mean"]), spread, "", f"{few['fitted_on']:,}", str(len(few["draws"]))
        rows.append((labels_of(labels), *numbers))
    columns = ("probe", TOP1, "std", TOP5, "labels", "draws")
    table = Table(tested_on(results, linear["tested_on"]), columns, rows, best=0).filled()
    return [table, ("trained", how_trained(results)), weakest(results["per_class"])]


def how_trained(results: dict[str, Any]) -> str:
    """The probe in words: optimizer, what was selected, and on what."""
    linear = results["linear"]
    if results["probe"] == "lbfgs":
        return f"lbfgs to convergence, C = {linear['C']:g} selected on validation"
    features = "standardised features" if linear["standardised"] else "raw features"
    pools = linear["features_grid"]
    if len(pools) > 1:
        features = f"{linear['features']} of {len(pools)} features, {features}"
    elif pools != ["avgpool"]:
        features = f"{linear['features']}, {features}"
    where = "the test images, as the authors do" if results["selected_on"] == "test" else "validation"
    return (
        f"sgd, {linear['epochs']} epochs, augmentation {linear['augmentation']}, {features}; "
        f"lr {linear['lr']:g} x batch/256 and epoch {linear['epoch']} selected on {where}"
    )
