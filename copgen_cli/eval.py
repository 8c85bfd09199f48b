"""`copgen eval`: evaluate an encoder."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from copgen.runtime.errors import DataError
from copgen.runtime.settings import resolve
from copgen.stages.eval.settings import EvalFewShotSettings, EvalKnnSettings, EvalLinearSettings, EvalSettings
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
    evaluate(EvalLinearSettings, "linear", flags, run, rows)


@command(
    "copgen eval knn --ckpt runs/pretrain",
    "copgen eval knn --dataset photos/ --ks 5,20 --json | jq .knn",
    settings=(EvalKnnSettings,),
)
def knn(flags: dict[str, Any], run: o.Run) -> None:
    """Classify test images by their nearest training images.

    The k most similar images (cosine) vote with weight exp(cosine/temperature).
    Reports Top-1 and Top-5 for each k; validation selects that of the main
    result. Nothing is trained.
    """
    evaluate(EvalKnnSettings, "knn", flags, run, knn_rows)


@command(
    "copgen eval few-shot --ckpt runs/pretrain",
    "copgen eval few-shot --dataset photos/ --percent 1,10 --draws 5",
    settings=(EvalFewShotSettings,),
)
def few_shot(flags: dict[str, Any], run: o.Run) -> None:
    """Train linear probes on a few labels of each class.

    Every draw takes other labels. Reports the mean of the Top-1 accuracies with
    its 95 % interval.
    """
    evaluate(EvalFewShotSettings, "few-shot", flags, run, few_shot_rows)


def evaluate(
    model: type[EvalSettings],
    kind: str,
    flags: dict[str, Any],
    run: o.Run,
    rows: Callable[[dict[str, Any]], list[Row]],
) -> None:
    """Run an evaluation, or print its settings, and report the result.

    Args:
        model: its settings.
        kind: of the evaluation, the name of its command.
        flags, run: as the command has them.
        rows: the result in words.
    """
    story = run.story()
    settings = resolve(model, f"eval {kind}", config=run.config, flags=flags, tell=story.warn)

    from copgen.encoders.encoder import encoder_file
    from copgen.stages.eval.opening import results_file

    file = encoder_file(settings.ckpt)
    if not file.exists():
        raise DataError(f"There is no encoder {file}.", fix="Train one with copgen pretrain, or pass --ckpt.")
    with story:
        story.say(f"Evaluating {file} on {settings.dataset}.")
        story.explain(settings.to_toml())
        if run.dry_run:
            show_plan(settings, {}, as_json=run.as_json)
            return
        name = kind.replace("-", "_")
        stage = getattr(import_module(f"copgen.stages.eval.{name}"), f"eval_{name}")
        results = stage(settings, events=story)
    written = results_file(settings, kind)
    real = results["encoder"]["made_by"].get("settings", {}).get("dataset")
    root = ["--data-root", str(settings.data_root)] if settings.data_root is not None else []
    then = ["navigate"] if real else ["pretrain", "--dataset", settings.dataset, *root, "--out", "runs/real"]
    run.answer({**results, "results": str(written)}, [*rows(results), ("results", str(written))], "copgen", *then)


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


def knn_rows(results: dict[str, Any]) -> list[Row]:
    """The accuracy for each k, and which is chosen."""
    found = []
    for k, one in results["knn"].items():
        chosen = ", chosen on validation" if int(k) == results["k"] else ""
        found.append((f"k = {k}", accuracies(one["top1"], one["top5"]) + chosen))
    tested = f"{results['tested_on']:,} test images, {results['bank']:,} to compare with"
    return [*found, ("images", tested), weakest(results["per_class"])]


def few_shot_rows(results: dict[str, Any]) -> list[Row]:
    """The mean accuracy and its interval for each number of labels."""
    return [
        (
            labels_of(labels),
            f"{100 * few['top1_mean']:5.1f} % +- {100 * few['interval95']:.1f} (95 % interval) "
            f"over {len(few['draws'])} draws of {few['fitted_on']:,} labels",
        )
        for labels, few in results["few_shot"].items()
    ]


def accuracies(top1: float, top5: float | None) -> str:
    """Top-1, and Top-5 if there are enough classes."""
    return f"{100 * top1:5.1f} % Top-1" + ("" if top5 is None else f", {100 * top5:.1f} % Top-5")


def labels_of(labels: str) -> str:
    """'5 labels per class', '1% of the labels'."""
    if labels.endswith("%"):
        return f"{labels} of the labels"
    return f"{labels} {'label' if labels == '1' else 'labels'} per class"


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


def weakest(per_class: dict[str, float | None]) -> Row:
    """The classes with the lowest accuracy."""
    known = sorted((value, name) for name, value in per_class.items() if value is not None)
    listed = ", ".join(f"{name} {100 * value:.1f} %" for value, name in known[:WEAKEST])
    return "weakest classes", listed
