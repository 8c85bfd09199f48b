"""`copgen import`: the authors' tree of images into a pairs folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from copgen.runtime.panels import OUTPUT
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import answer
from copgen_cli.story import Story

Tree = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that holds the classes' folders.")]
PerShard = Annotated[
    int | None,
    typer.Option(parser=o.count, metavar="COUNT", help="Pairs in each tar file (10k).", rich_help_panel=OUTPUT),
]
Only = Annotated[
    int | None,
    typer.Option("--only", parser=o.whole, metavar="SHARD", help="Recompute this one.", rich_help_panel=OUTPUT),
]
Out = Annotated[Path, o.folder("The pairs folder.")]


@command(
    "copgen import 1k_bigbigan128tr1.0_mine --out pairs/",
    "copgen import 1k_bigbigan128tr1.0_mine --out pairs/ --only 17",
)
def import_pairs(
    folder: Tree,
    out: Out = Path("pairs"),
    pairs_per_shard: PerShard = None,
    only: Only = None,
    overwrite: o.Overwrite = False,
    *,
    report: o.Report,
) -> None:
    """Bring in pairs that the authors' or GenRep's scripts made.

    Reads <class>/seed0000_sample00017_anchor.png and its ..._neighbor.png (or
    several neighbors) and writes a pairs folder, with the same pixels. Run the
    same command again to resume.
    """
    from copgen.stages.pairs_folder import import_pairs as stage

    with Story(quiet=report.quiet) as story:
        found = stage.import_pairs(
            folder,
            out=out,
            pairs_per_shard=pairs_per_shard,
            only=only,
            overwrite=overwrite,
            events=story,
        )
        positives = "1 positive" if found["positives"] == 1 else f"{found['positives']} positives"
        written = f"{found['shards']:,} {'shard' if found['shards'] == 1 else 'shards'}"
        if found["missing"]:
            written += f", of which {len(found['missing']):,} are still missing"
        else:
            written += f", {size(found['bytes'])}"
        rows = [
            ("pairs", f"{found['pairs']:,} in {out}/, {positives} each"),
            ("classes", f"{len(found['classes']):,}"),
            ("shards", written),
        ]
        answer({"folder": str(folder), "out": str(out), **found}, rows, as_json=report.as_json)
        story.next("copgen", "verify" if found["missing"] else "show", f"{out}/")
