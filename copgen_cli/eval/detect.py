"""`copgen eval detect`: object detection on PASCAL VOC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.environment import placement
from copgen.runtime.settings import resolve
from copgen.stages.eval.settings.detect import EvalDetectSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.eval.wording import percent, weakest
from copgen_cli.ranks import Nproc, launch_ranks, launches
from copgen_cli.running import train
from copgen_cli.tables import Table

Out = Annotated[Path | None, o.out("FOLDER", "Run folder (eval/detect beside the encoder).")]


@command(
    "copgen eval detect --ckpt runs/pretrain --dataset VOCdevkit/",
    "copgen eval detect --dataset VOCdevkit/ --schedule moco --nproc 8",
    "copgen eval detect --dataset VOCdevkit/VOC2007 --updates 9k --backbone fpn",
    settings=(EvalDetectSettings,),
)
def detect(
    flags: dict[str, Any], context: typer.Context, run: o.FolderRun, nproc: Nproc = None, out: Out = None
) -> None:
    """Train a detector from an encoder on PASCAL VOC, and test it.

    Faster R-CNN R50-C4 with the numbers of the authors' configuration: trainval
    of 2007 and 2012, test of 2007. Reports the paper's average precision (VOC07,
    11 points) and COCO's (101 points) of the same detections; they differ by
    several points. Run the same command to resume.
    """
    story = run.story(quiet=placement().rank > 0)
    tell = None if launches(nproc, run) else story.warn  # otherwise rank 0 warns
    settings = resolve(EvalDetectSettings, "eval detect", recipe=run.recipe, config=run.config, flags=flags, tell=tell)

    from copgen.distributed.ranks import check_divides
    from copgen.evaluation.detection.detector import FILE_NAME
    from copgen.stages.eval import detect as stage
    from copgen.stages.eval.opening import beside

    length, folder = settings.length, out or beside(settings.ckpt, stage.KIND)
    check_divides(length.batch, {f"{nproc} ranks": nproc} if nproc else {})
    launch_ranks(nproc, run, context)
    train(
        stage.eval_detect,
        settings,
        run,
        story,
        artefact=folder / FILE_NAME,
        kind="detector",
        about=f"{length.updates:,} updates of {length.batch:,} images of {settings.dataset or 'PASCAL VOC'}",
        estimate=lambda: stage.estimate(settings, world=nproc or placement().world),
        rows=lambda results: [*shown(results), *written(folder)],
        then=["copgen", "eval", "linear", "--ckpt", str(settings.ckpt)],
        follows=placement().rank > 0,
    )


def written(folder: Path) -> Iterator[Shown]:
    """The files of a finished run; one of an older version has no picture."""
    from copgen.stages.eval.detect import PICTURE, RESULTS

    yield "results", str(folder / RESULTS)
    if (picture := folder / PICTURE).exists():
        yield "picture", str(picture)


def shown(results: dict[str, Any]) -> list[Shown]:
    """Both metrics in percent, and the classes that are found worst."""
    names = {"voc07": "VOC07, 11 points (the paper's)", "coco": "COCO, 101 points"}
    rows = [
        (name, *(percent(results[metric][value]) for value in ("ap", "ap50", "ap75"))) for metric, name in names.items()
    ]
    sets, images = results["dataset"]["sets"], results["dataset"]["images"]
    title = f"{' + '.join(sets['train'])}; {' + '.join(sets['test'])}, {images['test']:,} images"
    per_class = {name: one["ap50"] for name, one in results["voc07"]["per_class"].items()}
    return [Table(title, ("metric", "AP %", "AP50 %", "AP75 %"), rows, best=0), weakest(per_class)]
