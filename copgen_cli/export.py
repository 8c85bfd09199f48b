"""`copgen export`: a pairs folder in the forms that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from copgen.runtime.panels import WHAT
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import answer
from copgen_cli.story import Story

To = Annotated[
    str,
    typer.Option(
        "--to",
        parser=o.one_of("form of export", "folder", "genrep", "cop-gen", "wds-single"),
        metavar="FORM",
        help="folder, genrep, cop-gen or wds-single.",
        rich_help_panel=WHAT,
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        "--class-names",
        metavar="FILE",
        help="Folders of classes 0, 1, ...: a name a line.",
        rich_help_panel=WHAT,
    ),
]
Out = Annotated[Path, o.folder("Where to.")]


@command(
    "copgen export pairs/ --to folder --out images/",
    "copgen export pairs/ --to genrep --out tree/ --class-names classes.json",
    "copgen export pairs/ --to wds-single --out anchors/",
)
def export(
    to: To,
    out: Out,
    pairs: o.PairsFolder = Path("pairs"),
    class_names: ClassNames = None,
    *,
    report: o.Report,
) -> None:
    """Write pairs in a form that other programs read.

    folder: images by class, for torchvision's ImageFolder. genrep, cop-gen:
    trees of PNG images for the code of GenRep and of the authors. wds-single:
    anchors alone, a WebDataset.
    Shards are verified on the way; run the same command again to resume.
    """
    from copgen.stages.pairs_folder import export as stage

    with Story(quiet=report.quiet) as story:
        found = stage.export(pairs, to=to, out=out, class_names=class_names, events=story)
        if found["already_finished"]:
            story.say(f"{out} was finished already.")
        rows = [("pairs", f"{found['pairs']:,} of {pairs}/"), ("images", f"{found['images']:,} in {out}/ ({to})")]
        answer({"pairs_folder": str(pairs), "out": str(out), **found}, rows, as_json=report.as_json)
        if to in ("genrep", "cop-gen"):
            story.next("copgen", "import", f"{out}/", "--out", "pairs-imported/")
        else:
            story.next("copgen", "pretrain", "--pairs", f"{pairs}/")
