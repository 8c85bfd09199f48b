"""`copgen eval knn`: nearest neighbours."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.knn import EvalKnnSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import TOP1, TOP5, by_number, percent, tested_on, weakest
from copgen_cli.tables import Table


@command(
    "copgen eval knn --ckpt runs/pretrain",
    "copgen eval knn --dataset photos/ --ks 5,20 --json | jq .knn",
    settings=(EvalKnnSettings,),
)
def knn(flags: dict[str, Any], run: o.Run, overwrite: o.Again = False) -> None:
    """Classify test images by their nearest training images.

    The k most similar images (cosine) vote with weight exp(cosine/temperature).
    Reports Top-1 and Top-5 for each k; validation selects that of the main
    result. Nothing is trained.
    """
    evaluate(EvalKnnSettings, "knn", flags, run, shown, overwrite=overwrite)


def shown(results: dict[str, Any]) -> list[Shown]:
    """The accuracy for each k, and which is chosen."""
    rows = [
        (k, percent(one["top1"]), percent(one["top5"]), percent(one["validation_top1"]))
        for k, one in by_number(results["knn"])
    ]
    table = Table(
        tested_on(results, results["tested_on"]),
        ("k", TOP1, TOP5, f"validation {TOP1}"),
        rows,
        best=[k for k, _ in by_number(results["knn"])].index(str(results["k"])),
    )
    chosen = f"k = {results['k']} of validation; {results['bank']:,} images to compare with"
    return [table, ("selected", chosen), weakest(results["per_class"])]
