"""`copgen eval few-shot`: linear probes on a few labels of each class."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import labels_of


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
    evaluate(EvalFewShotSettings, "few-shot", flags, run, rows)


def rows(results: dict[str, Any]) -> list[Row]:
    """The mean accuracy and its interval for each number of labels."""
    return [
        (
            labels_of(labels),
            f"{100 * few['top1_mean']:5.1f} % +- {100 * few['interval95']:.1f} (95 % interval) "
            f"over {len(few['draws'])} draws of {few['fitted_on']:,} labels",
        )
        for labels, few in results["few_shot"].items()
    ]
