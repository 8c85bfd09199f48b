"""`copgen eval finetune`: semi-supervised fine-tuning."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import TOP1, TOP5, by_number, labels_of, percent, tested_on
from copgen_cli.tables import Table


@command(
    "copgen eval finetune --ckpt runs/pretrain",
    "copgen eval finetune --dataset photos/ --labels 5,20 --draws 5",
    settings=(EvalFinetuneSettings,),
)
def finetune(flags: dict[str, Any], run: o.Run, overwrite: o.Overwrite = False) -> None:
    """Fine-tune the encoder on some of the labels.

    Trains all of the encoder with a linear head, over several draws of labels;
    validation selects learning rate and epoch. Reports the mean Top-1 beside that
    of a linear probe on frozen features with the same labels. Run the same
    command to resume.
    """
    evaluate(EvalFinetuneSettings, "finetune", flags, run, shown, overwrite=overwrite)


def shown(results: dict[str, Any]) -> list[Shown]:
    """The means for each number of labels, fine-tuned and frozen."""
    rows = [
        (
            labels_of(labels),
            f"{percent(one['top1_mean'])} +- {percent(one['interval95'])}",
            percent(one["top5_mean"]),
            f"{percent(one['frozen']['top1_mean'])} +- {percent(one['frozen']['interval95'])}",
            f"{one['fitted_on']:,}",
            str(len(one["draws"])),
        )
        for labels, one in by_number(results["finetune"])
    ]
    tested = next(iter(results["finetune"].values()))["tested_on"]
    columns = ("labels", TOP1, TOP5, f"frozen {TOP1}", "labels in all", "draws")
    table = Table(tested_on(results, tested), columns, rows, notes=("+- 95 % interval over the draws",)).filled()
    chosen = "learning rate and epoch of each draw on validation"
    return [table, ("selected", chosen), ("augmentation", results["augmentation"])]
