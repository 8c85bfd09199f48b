"""`copgen import`: the authors' folders of images into a pairs folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from copgen.runtime.panels import OUTPUT
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.wording import number_of

Tree = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that contains the class folders.")]
PerShard = Annotated[
    int | None, o.option(help="Pairs in each shard (10k).", value="COUNT", panel=OUTPUT, parser=o.count)
]
Only = Annotated[
    int | None, o.option("--only", help="Recompute only this shard.", value="SHARD", panel=OUTPUT, parser=o.whole)
]
Out = Annotated[Path, o.out("FOLDER", "Pairs folder.")]


@command(
    "copgen import 1k_bigbigan128tr1.0_mine --out pairs/",
    "copgen import 1k_bigbigan128tr1.0_mine --out pairs/ --only 17",
)
def import_pairs(
    folder: Tree,
    report: o.Report,
    out: Out = Path("pairs"),
    pairs_per_shard: PerShard = None,
    only: Only = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Import pairs made by the authors' or GenRep's scripts.

    Reads <class>/seed0000_sample00017_anchor.png and its ..._neighbor.png (one
    or several) and writes the same pixels. Run the same command to resume.
    """
    from copgen.stages.pairs_folder.import_pairs import import_pairs as stage

    with report.story() as story:
        found = stage(folder, out=out, pairs_per_shard=pairs_per_shard, only=only, overwrite=overwrite, events=story)
    missing = len(found["missing"])
    rest = f"of which {missing:,} are still missing" if missing else size(found["bytes"])
    rows = [
        ("pairs", f"{found['pairs']:,} in {out}/, {number_of(found['positives'], 'positive')} each"),
        ("classes", f"{len(found['classes']):,}"),
        ("shards", f"{number_of(found['shards'], 'shard')}, {rest}"),
    ]
    document = {"folder": str(folder), "out": str(out), **found}
    report.answer(document, rows, "copgen", "verify" if missing else "show", f"{out}/")
