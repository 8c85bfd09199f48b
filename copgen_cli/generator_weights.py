"""`copgen generator import` and `fetch`: published weights into the weights directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import INPUT, OUTPUT
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row

Name = Annotated[str, typer.Argument(metavar="NAME", help="Generator, such as digits or bigbigan.")]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="Published file, or the folder that contains it.")]
Instances = Annotated[Path | None, o.option(help="Instance features of an IC-GAN (.npy).", value="FILE", panel=INPUT)]
WeightsDir = Annotated[
    Path | None, o.option("--weights-dir", help="Weights directory (COPGEN_WEIGHTS).", value="FOLDER", panel=OUTPUT)
]
Out = Annotated[Path | None, o.out("FILE", "Output file (NAME.safetensors).")]


@command(
    "copgen generator import bigbigan BigBiGAN_x1.pth",
    "copgen generator import icgan-128 FOLDER --instances features.npy",
)
def import_weights(
    name: Name,
    file: Source,
    report: o.Report,
    instances: Instances = None,
    out: Out = None,
    weights_dir: WeightsDir = None,
    overwrite: o.Replace = False,
) -> None:
    """Convert a published checkpoint to safetensors.

    Nothing in the file is executed. By default the result is written to the
    weights directory, where every command finds it by the generator's name.
    """
    from copgen.stages.generator.import_weights import import_generator

    found = import_generator(name, file, instances=instances, out=out, directory=weights_dir, overwrite=overwrite)
    tell(found, report, named=out is not None or weights_dir is not None)


@command("copgen generator fetch bigbigan", "copgen generator fetch icgan-128 --json")
def fetch(name: Name, report: o.Report, weights_dir: WeightsDir = None, overwrite: o.Replace = False) -> None:
    """Download and import a generator's published weights.

    Run the same command to resume an interrupted download.
    """
    from copgen.stages.generator.fetch import fetch_generator

    with report.story() as story:
        found = fetch_generator(name, directory=weights_dir, overwrite=overwrite, events=story)
    tell(found, report, named=weights_dir is not None)


def tell(found: dict[str, Any], report: o.Report, *, named: bool) -> None:
    """Print the result; `named`: later commands need --weights to find the file."""
    if found["already_imported"]:
        report.story().say(f"{found['weights']} already exists. Pass --overwrite to replace it.")
    weights = ["--weights", found["weights"]] if named else []
    then = ["copgen", "generator", "inspect", found["name"], *weights, "--out", "samples.png"]
    report.answer(found, rows(found), *then)


def rows(found: dict[str, Any]) -> list[Row]:
    """The imported file in rows."""
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
