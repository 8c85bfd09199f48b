"""`copgen export`: a pairs folder in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from copgen.runtime.errors import UsageError
from copgen.runtime.panels import OUTPUT
from copgen_cli import options as o
from copgen_cli.commands import command

PROGRAMS = ("torchvision", "timm", "detectron2")


def form(text: str) -> str:
    """A form of pairs; whoever asks for one of encoders learns where that is."""
    if text in PROGRAMS:
        raise o.BadValue(UsageError(f"'{text}' is for encoders, not pairs.", fix=f"copgen encoder export --to {text}"))
    return o.one_of("form of export", "folder", "genrep", "cop-gen", "wds-single")(text)


To = Annotated[
    str, o.option("--to", help="folder, genrep, cop-gen or wds-single.", value="NAME", panel=OUTPUT, parser=form)
]
ClassNames = Annotated[
    Path | None,
    o.option("--class-names", help="File of folder names, one per class.", value="FILE", panel=OUTPUT),
]
Out = Annotated[Path, o.out("FOLDER", "Output folder.")]


@command(
    "copgen export pairs/ --to folder --out images/",
    "copgen export pairs/ --to genrep --out tree/ --class-names classes.json",
    "copgen export pairs/ --to wds-single --out anchors/",
)
def export(
    to: To, out: Out, report: o.Report, pairs: o.PairsFolder = Path("pairs"), class_names: ClassNames = None
) -> None:
    """Convert pairs to folders of images or other formats.

    folder: images by class, for torchvision's ImageFolder.
    genrep, cop-gen: PNG images for the code of GenRep and of the authors.
    wds-single: the anchors alone, as a WebDataset.

    Each shard is verified before it is read. Run the same command to resume.
    """
    from copgen.stages.pairs_folder import export as stage

    with report.story() as story:
        found = stage.export(pairs, to=to, out=out, class_names=class_names, events=story)
        if found["already_finished"]:
            story.say(f"{out} is already finished.")
    rows = [("pairs", f"{found['pairs']:,} of {pairs}/"), ("images", f"{found['images']:,} in {out}/ ({to})")]
    back = ["import", f"{out}/", "--out", "pairs-imported/"]
    then = back if to in ("genrep", "cop-gen") else ["pretrain", "--pairs", f"{pairs}/"]
    report.answer({"pairs_folder": str(pairs), "out": str(out), **found}, rows, "copgen", *then)
