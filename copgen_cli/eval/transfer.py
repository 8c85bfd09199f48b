"""`copgen eval transfer`: probes on several datasets."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.transfer import EvalTransferSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.running import measure
from copgen_cli.eval.wording import percent
from copgen_cli.tables import Table


@command(
    "copgen eval transfer --datasets digits,photos/,voc07",
    "copgen eval transfer --datasets VOCdevkit/ --probe svm --json | jq .mean",
    settings=(EvalTransferSettings,),
)
def transfer(flags: dict[str, Any], run: o.Run, overwrite: o.Again = False) -> None:
    """Train probes on the features of several datasets.

    Reports Top-1 for datasets with one class in each image, the mean average
    precision (11 points) for VOC 2007, and the mean over the datasets. Run the
    same command to resume.
    """
    measure(
        EvalTransferSettings,
        "transfer",
        flags,
        run,
        shown,
        on=lambda settings: ", ".join(settings.datasets),
        then=lambda settings, results: ["eval", "few-shot", "--ckpt", str(settings.ckpt)],
        overwrite=overwrite,
    )


def shown(results: dict[str, Any]) -> list[Shown]:
    """A row for each dataset, and the mean."""
    rows = [
        (
            name,
            one["metric"],
            percent(one["score"]),
            percent(one.get("mean_per_class")),
            percent(one.get("map_area")),
            f"{one['classes']:,}",
            f"{one['tested_on']:,}",
        )
        for name, one in results["datasets"].items()
    ]
    if len(rows) > 1:
        rows.append(("mean", "", percent(results["mean"]), "", "", "", ""))
    columns = ("dataset", "score", "%", "per class %", "area %", "classes", "test images")
    title = f"{'support vector machine' if results['probe'] == 'svm' else 'linear probe'} on frozen features"
    return [Table(title, columns, rows, texts=2, best=len(rows) - 1 if len(rows) > 1 else None).filled()]
