"""`copgen generator import` and `fetch`: published weights into the weights directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import OUTPUT, WHAT
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.story import Story

Name = Annotated[str, typer.Argument(metavar="NAME", help="A generator's name, of copgen generator list.")]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="Its published file, or the folder with it.")]
Instances = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Stored instances of an IC-GAN (.npy).", rich_help_panel=WHAT),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights-dir",
        metavar="FOLDER",
        help="Where weights are kept (COPGEN_WEIGHTS).",
        rich_help_panel=OUTPUT,
    ),
]
Out = Annotated[Path | None, o.file("The file (NAME.safetensors there).")]


@command(
    "copgen generator import bigbigan BigBiGAN_x1.pth",
    "copgen generator import icgan-128 FOLDER --instances features.npy",
)
def import_weights(
    name: Name,
    file: Source,
    instances: Instances = None,
    out: Out = None,
    weights_dir: WeightsDir = None,
    overwrite: o.Replace = False,
    *,
    report: o.Report,
) -> None:
    """Check a published checkpoint, and keep it as safetensors.

    Nothing in the file is executed. Without --out it goes into the weights
    directory, where every command finds it by the generator's name.
    """
    from copgen.stages.generator.import_weights import import_generator

    found = import_generator(name, file, instances=instances, out=out, directory=weights_dir, overwrite=overwrite)
    tell(found, report, named=out is not None or weights_dir is not None)


@command("copgen generator fetch bigbigan", "copgen generator fetch icgan-128 --json")
def fetch(
    name: Name,
    weights_dir: WeightsDir = None,
    overwrite: o.Replace = False,
    *,
    report: o.Report,
) -> None:
    """Download a generator's published weights, and import them.

    Run the same command again to resume an interrupted download.
    """
    from copgen.stages.generator.fetch import fetch_generator

    with Story(quiet=report.quiet) as story:
        found = fetch_generator(name, directory=weights_dir, overwrite=overwrite, events=story)
    tell(found, report, named=weights_dir is not None)


def tell(found: dict[str, Any], report: o.Report, *, named: bool) -> None:
    """The answer; `named` says that the weights are where they have to be named to be found."""
    story = Story(quiet=report.quiet)
    if found["already_imported"]:
        story.say(f"{found['weights']} is already there; --overwrite replaces it.")
    answer(found, rows(found), as_json=report.as_json)
    story.next(
        "copgen", "generator", "inspect", found["name"], *(["--weights", found["weights"]] if named else []),
        "--out", "samples.png",
    )  # fmt: skip


def rows(found: dict[str, Any]) -> list[Row]:
    """What was imported, in lines."""
    if "tensors" not in found:
        return [("weights", found["weights"])]
    known = {True: ", as published", False: ", not the published file", None: ""}[found["published"]]
    return [
        ("weights", found["weights"]),
        ("family", f"{found['family']}, {found['tensors']:,} tensors, {size(found['bytes'])}"),
        *(
            ("source", f"{file}, sha256 {sha256[:16]}{known if sha256 == found['source_sha256'] else ''}")
            for file, sha256 in found["sources"].items()
        ),
        ("terms", found["licence"]),
    ]
