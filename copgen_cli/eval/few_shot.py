"""`copgen eval few-shot`: linear probes on a few labels of each class."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import TOP1, by_number, labels_of, percent, tested_on
from copgen_cli.tables import Table


@command(
    "copgen eval few-shot --ckpt runs/pretrain",
    "copgen eval few-shot --dataset photos/ --percent 1,10 --draws 5",
    settings=(EvalFewShotSettings,),
)
def few_shot(flags: dict[str, Any], run: o.Run, overwrite: o.Again = False) -> None:
    """Train linear probes on a few labels of each class.

    Every draw takes other labels. Reports the mean of the Top-1 accuracies with
    its 95 % interval.
    """
    evaluate(EvalFewShotSettings, "few-shot", flags, run, shown, overwrite=overwrite)


def shown(results: dict[str, Any]) -> list[Shown]:
    """The mean accuracy and its interval for each number of labels."""
    rows = [
        (
            labels_of(labels),
            percent(few["top1_mean"]),
            f"+- {100 * few['interval95']:.1f}",
            f"{few['fitted_on']:,}",
            str(len(few["draws"])),
        )
        for labels, few in by_number(results["few_shot"])
    ]
    tested = next(iter(results["few_shot"].values()))["tested_on"]
    return [Table(tested_on(results, tested), ("labels", TOP1, "95 % interval", "labels in all", "draws"), rows)]
