"""`copgen eval alignment`: how an encoder arranges pairs of images."""

from __future__ import annotations

from typing import Any

from copgen.stages.eval.settings.alignment import EvalAlignmentSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.running import measure
from copgen_cli.eval.wording import percent
from copgen_cli.tables import Table

SPACES = {"features": "features", "projections": "projections", "untrained_features": "untrained"}


@command(
    "copgen eval alignment --ckpt runs/pretrain --pairs pairs/",
    "copgen eval alignment --dataset photos/ --json | jq .features",
    settings=(EvalAlignmentSettings,),
)
def alignment(flags: dict[str, Any], run: o.Run, overwrite: o.Again = False) -> None:
    """Measure how an encoder arranges pairs of images; no labels.

    Reports alignment and uniformity (Wang and Isola), the effective rank
    (RankMe), and the InfoNCE loss as a share of its chance level: of features,
    of projections if the run has a checkpoint, and of an untrained encoder.
    """
    measure(
        EvalAlignmentSettings,
        "alignment",
        flags,
        run,
        shown,
        on=lambda settings: str(settings.pairs or settings.dataset or "digits"),
        then=lambda settings, results: ["eval", "linear", "--ckpt", str(settings.ckpt)],
        overwrite=overwrite,
    )


def shown(results: dict[str, Any]) -> list[Shown]:
    """A row for each space, and what was measured."""
    data, loss = results["data"], results["info_nce"]
    rows = [
        (
            title,
            f"{results[space]['alignment']:.3f}",
            f"{results[space]['uniformity']:.2f}",
            f"{results[space]['rank_me']:.1f} of {results[space]['dim']:,}",
            percent(results[space]["share_of_chance"]),
        )
        for space, title in SPACES.items()
        if space in results
    ]
    what = "pairs" if data["split"] is None else f"{data['split']} images, two views each ({data['views']})"
    columns = ("embeddings", "alignment", "uniformity", "RankMe", "InfoNCE, % of chance")
    return [
        Table("embeddings of pairs", columns, rows),
        ("pairs", f"{data['measured']:,} of {data['of']:,} {what}"),
        ("InfoNCE", f"of batches of {loss['batch']:,} pairs, temperature {loss['temperature']:g}"),
    ]
