"""`copgen encoder`: import, inspect and export encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import INPUT, OUTPUT, SETTINGS
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.export import PROGRAMS

DEFAULT_CKPT, DEFAULT_OUT = Path("runs/pretrain"), Path("runs/imported-encoder")

Source = Annotated[Path, typer.Argument(metavar="FILE", help="An encoder of another program.")]
Ckpt = Annotated[Path, o.option("--ckpt", help="Run folder, or any encoder file.", value="PATH", panel=INPUT)]
Arch = Annotated[str | None, o.option(help="Architecture in a foreign file (recognised).", value="NAME", panel=INPUT)]
Views = Annotated[
    str | None, o.option(help="Views whose normalisation a foreign file expects.", value="NAME", panel=INPUT)
]
Prefix = Annotated[
    str | None, o.option(help="Which of several networks in a foreign file.", value="PREFIX", panel=INPUT)
]
Size = Annotated[
    int | None, o.option(help="Side of its training images (224).", value="PIXELS", panel=SETTINGS, parser=o.count)
]
To = Annotated[
    str,
    o.option(
        "--to",
        help="torchvision, timm or detectron2.",
        value="NAME",
        panel=OUTPUT,
        parser=o.one_of("export format", *PROGRAMS),
    ),
]
Folder = Annotated[Path, o.out("FOLDER", "Output folder.")]
File = Annotated[Path, o.out("FILE", ".safetensors or .pth; for detectron2 .pkl or .pth.")]


@command(
    "copgen encoder import resnet50.pth",
    "copgen encoder import moco.pth.tar --arch resnet50 --out runs/moco",
)
def import_encoder(
    file: Source,
    report: o.Report,
    arch: Arch = None,
    views: Views = None,
    prefix: Prefix = None,
    size: Size = None,
    out: Folder = DEFAULT_OUT,
    overwrite: o.Replace = False,
) -> None:
    """Convert an encoder of another program to safetensors.

    Reads ResNets of torchvision, timm, MoCo, SimCLR, lightly, solo-learn, VISSL
    and COP-Gen; nothing in the file is executed. Every tensor of the backbone
    has to be there; what is left out, such as heads, is listed.
    """
    from copgen.encoders.foreign.reading import SIZE
    from copgen.stages.encoder.import_file import import_encoder as stage

    with report.story() as story:
        found = stage(
            file,
            out=out,
            arch=arch,
            views=views,
            image_size=size or SIZE,
            prefix=prefix,
            overwrite=overwrite,
            events=story,
        )
    report.answer(found, description(found), "copgen", "eval", "linear", "--ckpt", str(out))


@command("copgen encoder inspect", "copgen encoder inspect --ckpt resnet50.pth --json")
def inspect(
    report: o.Report, ckpt: Ckpt = DEFAULT_CKPT, arch: Arch = None, views: Views = None, prefix: Prefix = None
) -> None:
    """Report an encoder's architecture, input and origin."""
    from copgen.stages.encoder.inspect import inspect as stage

    with report.story() as story:
        found = stage(ckpt, arch=arch, views=views, prefix=prefix, events=story)
    report.answer(found, description(found), "copgen", "eval", "linear", "--ckpt", str(ckpt))


@command(
    "copgen encoder export --to torchvision --out resnet50.pth",
    "copgen encoder export --ckpt runs/pretrain --to timm --out encoder.safetensors",
    "copgen encoder export --to detectron2 --out R-50.pkl",
)
def export(
    to: To,
    out: File,
    report: o.Report,
    ckpt: Ckpt = DEFAULT_CKPT,
    arch: Arch = None,
    views: Views = None,
    prefix: Prefix = None,
    overwrite: o.Replace = False,
) -> None:
    """Convert an encoder for torchvision, timm or detectron2.

    Prints the lines that load the file: Python, or detectron2's configuration.
    The file has no classifier.
    """
    from copgen.stages.encoder.export import export as stage

    with report.story() as story:
        found = stage(ckpt, to=to, out=out, arch=arch, views=views, prefix=prefix, overwrite=overwrite, events=story)
    rows = [
        ("file", f"{found['out']}, {found['tensors']} tensors, sha256 {found['sha256'][:16]}"),
        *description(found["source"]),
        *(("" if number else "load", line) for number, line in enumerate(found["usage"])),
    ]
    report.answer(found, rows, "copgen", "eval", "linear", "--ckpt", str(ckpt))


def description(found: dict[str, Any]) -> list[Row]:
    """The properties of an encoder in rows."""
    channels = "RGB" if found["in_channels"] == 3 else f"{found['in_channels']} channels"
    mean, std = (", ".join(f"{value:g}" for value in found[name]) for name in ("mean", "std"))
    made_by = found["made_by"]
    source = made_by.get("source", {})
    origin = f"{source['file']}, sha256 {source['sha256'][:16]}" if source else made_by.get("stage", "not recorded")
    return [
        ("encoder", f"{found['encoder']}, sha256 {found['sha256'][:16]}"),
        ("architecture", f"{found['arch']}, {found['stem']} stem, {found['parameters']:,} weights"),
        ("features", f"{found['feature_dim']:,}"),
        ("images", f"{channels}, {found['image_size']} pixels"),
        ("normalised", f"in [0, 1], minus {mean}, over {std} (views {found['views']})"),
        ("made by", origin),
    ]
