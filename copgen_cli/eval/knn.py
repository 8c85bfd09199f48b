"""`copgen eval knn`: nearest neighbours."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.knn import EvalKnnSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.eval.running import evaluate
from copgen_cli.eval.wording import accuracies, weakest


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
    evaluate(EvalKnnSettings, "knn", flags, run, rows)


def rows(results: dict[str, Any]) -> list[Row]:
    """The accuracy for each k, and which is chosen."""
    found = []
    for k, one in results["knn"].items():
        chosen = ", chosen on validation" if int(k) == results["k"] else ""
        found.append((f"k = {k}", accuracies(one["top1"], one["top5"]) + chosen))
    tested = f"{results['tested_on']:,} test images, {results['bank']:,} to compare with"
    return [*found, ("images", tested), weakest(results["per_class"])]
